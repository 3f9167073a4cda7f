// Figures, times and types in words.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** 1536 → "1.5 KB". MB means 2^20 bytes, as in the API. */
export function bytes(number) {
  let power = 0;
  for (let rest = number; rest >= 1024 && power < UNITS.length - 1; rest /= 1024) power += 1;
  const value = number / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

export const rate = (bytesPerSecond) => `${bytes(bytesPerSecond)}/s`;

/** count(1, "file") → "1 file"; count(2000, "file") → "2,000 files". */
export const count = (number, singular, plural = `${singular}s`) => `${number.toLocaleString("en")} ${number === 1 ? singular : plural}`;

/** 3725 → "1:02:05"; 0.4 → "0.4 s". */
export function duration(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** 75 → "about 1 minute left". */
export function timeLeft(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 50) return `${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 3300) return `about ${count(Math.round(seconds / 60), "minute")} left`;
  return `about ${count(Math.round(seconds / 3600), "hour")} left`;
}

const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const SPANS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];

export function relativeTime(iso, now = Date.now()) {
  const seconds = (new Date(iso) - now) / 1000;
  const span = SPANS.find(([, length]) => Math.abs(seconds) >= length);
  return span ? AGO.format(Math.round(seconds / span[1]), span[0]) : "just now";
}

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const dateTime = (iso) => MOMENT.format(new Date(iso));

const LABELS = {
  "application/pdf": "PDF", "application/zip": "ZIP archive", "application/gzip": "gzip archive", "application/x-tar": "tar archive",
  "application/x-7z-compressed": "7-Zip archive", "application/vnd.rar": "RAR archive", "application/epub+zip": "EPUB book",
  "application/msword": "Word document", "application/vnd.ms-excel": "Excel spreadsheet", "application/vnd.ms-powerpoint": "PowerPoint presentation",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word document",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "Excel spreadsheet",
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": "PowerPoint presentation",
  "application/vnd.oasis.opendocument.text": "OpenDocument text", "application/vnd.oasis.opendocument.spreadsheet": "OpenDocument spreadsheet",
  "application/vnd.oasis.opendocument.presentation": "OpenDocument presentation", "application/rtf": "RTF document", "text/rtf": "RTF document",
  "application/json": "JSON", "application/xml": "XML", "text/xml": "XML", "text/html": "HTML page", "text/markdown": "Markdown text", "text/csv": "CSV table",
  "text/plain": "Text", "message/rfc822": "E-mail", "application/vnd.ms-outlook": "Outlook message", "image/svg+xml": "SVG drawing", "image/jpeg": "JPEG image",
  "image/heic": "HEIC image", "video/quicktime": "QuickTime video", "video/mp4": "MP4 video", "video/x-matroska": "Matroska video", "audio/mpeg": "MP3 audio",
  "audio/mp4": "AAC audio", "application/x-empty": "Empty file", "application/octet-stream": "Unknown type",
};

/** Kind → its types, as in windlass/files/kinds.py: `*` stands for any rest, and the first kind that has a type counts. */
const KINDS = Object.entries({
  pdf: `application/pdf`,
  email: `message/* application/mbox application/vnd.ms-outlook*`,
  spreadsheet: `text/csv text/tab-separated-values application/vnd.ms-excel* application/vnd.oasis.opendocument.spreadsheet*
    application/vnd.openxmlformats-officedocument.spreadsheetml* application/vnd.sun.xml.calc*`,
  presentation: `application/vnd.ms-powerpoint* application/vnd.oasis.opendocument.presentation*
    application/vnd.openxmlformats-officedocument.presentationml* application/vnd.sun.xml.impress*`,
  document: `application/msword application/rtf text/rtf application/vnd.ms-word* application/vnd.oasis.opendocument.text*
    application/vnd.openxmlformats-officedocument.wordprocessingml* application/vnd.sun.xml.writer*
    application/epub+zip application/vnd.comicbook* application/postscript application/x-hwp image/vnd.djvu*`,
  archive: `application/zip application/gzip application/zstd application/java-archive
    application/vnd.android.package-archive application/vnd.debian.binary-package
    application/vnd.ms-cab-compressed application/vnd.rar application/x-7z-compressed application/x-archive
    application/x-bzip2 application/x-cpio application/x-iso9660-image application/x-lz4 application/x-lzma
    application/x-rpm application/x-tar application/x-xpinstall application/x-xz`,
  code: `application/geo+json application/json* application/ld+json application/manifest+json application/sql
    application/toml application/x-httpd-php application/x-ipynb+json application/x-ndjson application/x-sh
    application/xhtml+xml application/xml* application/xslt+xml application/yaml text/css text/html
    text/javascript text/rust text/x-* text/xml`,
  image: `image/*`,
  video: `video/*`,
  audio: `audio/*`,
  font: `font/* application/vnd.ms-fontobject`,
  model: `model/*`,
  text: `text/* application/x-subrip`,
}).map(([kind, types]) => [kind, types.split(/\s+/)]);

const has = (types, mimeType) => types.some((each) => (each.endsWith("*") ? mimeType.startsWith(each.slice(0, -1)) : each === mimeType));

/** image | video | audio | pdf | document | spreadsheet | presentation | archive | text | code | email | font | model | other */
export const kindOf = (mimeType) => KINDS.find(([, types]) => has(types, mimeType ?? ""))?.[0] ?? "other";

/** "image/png" → "PNG image"; a type without a known name is told by the file's extension. */
export function typeLabel(mimeType, filename = "") {
  if (LABELS[mimeType]) return LABELS[mimeType];
  const [top, subtype = ""] = (mimeType ?? "").split("/");
  const name = subtype.replace(/^(x-|vnd\.)+/, "").toUpperCase();
  if (["image", "video", "audio", "font"].includes(top) && name.length <= 8) return `${name} ${top}`;
  const extension = filename.match(/\.([a-z0-9]{1,8})$/i)?.[1];
  return extension ? `${extension.toUpperCase()} file` : "File";
}
