// Addresses of a file: below this page's origin, where the session is valid, also if MEDIA_URL names another one.

import { urlOf } from "../api.js";

export const pageOf = (id) => urlOf(`/f/${id}`);
export const recordOf = (id) => urlOf(`/files/${id}/`);
export const bytesOf = (id) => urlOf(`/files/${id}/download/`);
export const saveOf = (id) => urlOf(`/files/${id}/download/?disposition=attachment`);
export const renditionOf = (id, name) => urlOf(`/files/${id}/renditions/${name}/`);
