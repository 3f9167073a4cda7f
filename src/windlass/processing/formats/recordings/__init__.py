"""Structure of audio and video files that FFmpeg does not report."""
