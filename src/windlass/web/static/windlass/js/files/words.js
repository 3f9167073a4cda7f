// What a file's status and its processing steps are called.

const STATUSES = {
  READY: { word: "Ready", icon: "ready", tone: "good" },
  PROCESSING: { word: "Processing", icon: "running", tone: "" },
  PENDING: { word: "Waiting", icon: "waiting", tone: "" },
  REJECTED: { word: "Refused", icon: "rejected", tone: "bad" },
  QUARANTINED: { word: "Malware", icon: "quarantined", tone: "bad" },
  FAILED: { word: "Failed", icon: "failed", tone: "bad" },
  RELEASED: { word: "Released", icon: "released", tone: "" },
};

const STEP_TITLES = {
  archive_facts: "Looking through the archive",
  archive_rules: "Checking the rules for archives",
  audio_preview: "Making the preview",
  audio_tags: "Reading the tags",
  audio_thumbnail: "Looking for the cover",
  av_facts: "Reading the recording's facts",
  checksum: "Computing the checksum",
  content_rules: "Checking the rules for the content",
  document_thumbnail: "Looking for the preview",
  duplicate: "Looking for the same content",
  email_facts: "Reading the message's facts",
  embed: "Indexing for the search by meaning",
  graph: "Finding entities",
  image_facts: "Reading the picture's facts",
  index: "Indexing for the search",
  malware: "Scanning for malware",
  malware_limits: "Checking what the scanner has read",
  media_rules: "Checking the media rules",
  ocr: "Recognising text",
  office_facts: "Reading the document's facts",
  pdf_facts: "Reading the document's facts",
  pdf_pages: "Making pictures of the pages",
  pdf_thumbnail: "Making the thumbnail",
  pixel_rules: "Checking the number of pixels",
  size: "Checking the size",
  text: "Getting the text",
  text_facts: "Reading the text's facts",
  thumbnail: "Making the thumbnail",
  type: "Detecting the type",
  type_rules: "Checking the type rules",
  video_preview: "Making the preview",
  video_thumbnail: "Making the thumbnail",
  waveform: "Drawing the waveform",
};

/** A step's title; that of a plug-in is made of its name. */
export function stepTitle(name) {
  const words = name.replaceAll("_", " ");
  return STEP_TITLES[name] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

export const isRunning = (file) => file.status === "PENDING" || file.status === "PROCESSING";
export const isDamaged = (file) => file.checks.some(({ name, state }) => name === "integrity" && state === "failed");

/** Whether the file's bytes can be downloaded: its checks have passed and nothing took them away. */
export function isServed(file) {
  if (isDamaged(file)) return false;
  if (file.status === "READY") return true;
  // While its later steps run, or after one of them failed, a file whose checks have all passed is served.
  return (file.status === "FAILED" || file.status === "PROCESSING") && file.checks.length > 1 && file.checks.every(({ state }) => state === "passed");
}

/** {word, icon, tone}: `tone` is good, bad or empty. A file some of whose checks are done is not waiting any more. */
export function statusOf(file) {
  if (isDamaged(file) && file.status !== "RELEASED") return { word: "Damaged", icon: "failed", tone: "bad" };
  const started = file.status === "PENDING" && file.checks.some(({ state }) => state === "passed");
  return STATUSES[started ? "PROCESSING" : file.status] ?? STATUSES.PENDING;
}
