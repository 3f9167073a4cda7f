// What a person can do about a file that is not in service.

const ANOTHER_PROFILE = "upload it again with a profile that accepts it";

/** By the rule that refused the file; rules of plug-ins have no entry. */
const BY_RULE = {
  size: "Upload a file within the limit, or use a profile with another one.",
  checksum: "The bytes that arrived are not those that were announced. Upload the file again.",
  "type-blocked": `Convert the file to another type, or ${ANOTHER_PROFILE}.`,
  "type-not-allowed": `Convert the file to one of the allowed types, or ${ANOTHER_PROFILE}.`,
  "extension-not-allowed": `Rename the file if its content is of an allowed type, or ${ANOTHER_PROFILE}.`,
  "type-mismatch": "Give the file the extension of what it contains, and upload it again.",
  "malware-scan": "The scanner did not read the whole file, so nobody knows what is in it. Upload a smaller file, or ask those who run this server.",
  "media-type": "The call said that it is another kind of media. Upload it as what it is.",
  dimensions: "Scale or crop the picture or video to the allowed dimensions, and upload it again.",
  pixels: "Scale the picture down, and upload it again.",
  duration: "Cut the recording to the allowed duration, and upload it again.",
  pages: "Split the document, and upload its parts.",
  encrypted: "Save the file without a password, and upload it again.",
  "content-unreadable": "Open the file in the program that made it, save it again, and upload the result.",
  "media-unreadable": "Open the file in the program that made it, export it again, and upload the result.",
  "archive-entries": "Split the archive into smaller ones.",
  "unpacked-size": "Split the archive into smaller ones, or upload its files one by one.",
  "archive-ratio": "Such a ratio is typical of archives that are made to fill a disk. Upload the files one by one.",
  "unsafe-names": "Pack the archive again with relative paths and without links that lead out of it.",
  "archive-damaged": "The archive cannot be read to its end. Pack it again, and upload the result.",
  "archive-contradiction": "Programs would unpack different files from this archive. Pack it again with another program.",
  "archive-not-measured": "Pack the files with a common method such as ZIP (deflate), without archives inside, and upload the result.",
};

/** {title, reason, advice} of a file that is not in service; null for any other. `message` is that of its status. */
export function adviceOf(file, message) {
  const reason = file.rejection?.detail ?? "";
  switch (file.status) {
    case "REJECTED":
      return { title: "This file was refused", reason, advice: BY_RULE[file.rejection?.rule] ?? "The server's rules do not accept this file. The reason above names the limit." };
    case "QUARANTINED":
      return { title: "Malware was found in this file", reason, advice: "It is never handed out. Delete it here, and scan the device that it comes from. If you are sure that it is harmless, ask those who run this server." };
    case "FAILED":
      return { title: "Processing failed", reason: message, advice: "Process it again: that helps if a service was away. If it fails again, the timeline below says at which step; those who run this server find more in their log." };
    case "RELEASED":
      return { title: "The bytes of this file were released", reason: "", advice: "They are deleted, and only this record is kept. To have the file here again, upload it again." };
    default: {
      const damage = file.checks.find(({ name, state }) => name === "integrity" && state === "failed");
      return damage ? { title: "The stored bytes are damaged", reason: damage.detail, advice: "The file is not handed out. Upload it again if you have it, or ask those who run this server to restore it from a backup." } : null;
    }
  }
}

export const RULES = Object.keys(BY_RULE);
