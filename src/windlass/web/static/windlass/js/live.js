// Live events of uploads and files.

import { urlOf } from "./api.js";

/** Call `onEvent(event)` for each event of what the visitor may see, and `onState("live" | "retrying")` as the stream comes and goes. */
export function subscribe(path, { onEvent, onState = () => {} }) {
  const stream = new EventSource(urlOf(path.replace("/ws/events", "/events/")));
  stream.onmessage = ({ data }) => onEvent(JSON.parse(data));
  stream.onopen = () => onState("live");
  stream.onerror = () => onState("retrying");
  return { close: () => stream.close() };
}
