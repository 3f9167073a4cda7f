// What the server's profiles refuse, known before a byte is sent. The words are the server's. What depends on the
// content is left to the server, and so are the rules of media profiles, which it applies when an upload is created.

import { getJson, urlOf } from "../api.js";

/** Types that a browser derives from the file's name without doubt. Of others the server looks at the content. */
const CERTAIN_TYPES = new Set([
  "application/pdf", "audio/mpeg", "image/gif", "image/jpeg", "image/png", "image/webp", "text/html", "video/mp4", "video/webm",
]);

export async function loadProfiles() {
  const { results } = await getJson(urlOf("/profiles/"));
  return new Map(results.map((profile) => [profile.name, profile]));
}

/** Why the profile does not take this file; null if nothing is known against it. */
export function refusalOf({ name, size, type }, profile) {
  if (size > profile.max_size) {
    return `The file may have at most ${profile.max_size} bytes. ${size} bytes were declared or sent.`;
  }
  if (size < profile.min_size) {
    return `The file has ${size} bytes; profile '${profile.name}' takes files from ${profile.min_size} bytes.`;
  }
  return refusedExtension(name, profile) ?? refusedType(type, profile);
}

function refusedExtension(name, { allowed_extensions: patterns }) {
  const allowed = patterns.map((pattern) => pattern.toLowerCase().replace(/^\.+/, ""));
  const ending = extensionOf(name);
  if (!allowed.length || allowed.includes(ending)) return null;
  return `The name ${ending ? `ends in .${ending}` : "has no extension"}; allowed are ${allowed.join(", ")}.`;
}

/** As the server sees it: invisible characters do not count, nor do dots and spaces at the end. */
function extensionOf(name) {
  const visible = name.replace(/\p{Cf}/gu, "").replace(/[. ]+$/, "");
  const dot = visible.lastIndexOf(".");
  return dot > 0 ? visible.slice(dot + 1).toLowerCase() : "";
}

function refusedType(type, { allowed_mime_types: allowed, blocked_mime_types: blocked }) {
  if (!CERTAIN_TYPES.has(type)) return null;
  if (matches(type, blocked)) return `Files of type ${type} are refused.`;
  if (!allowed.length || matches(type, allowed)) return null;
  return `The file is declared as ${type}; allowed are ${allowed.join(", ")}.`;
}

function matches(type, patterns) {
  return patterns.map((pattern) => pattern.trim().toLowerCase())
    .some((pattern) => pattern === type || (pattern.endsWith("*") && type.startsWith(pattern.slice(0, -1))));
}
