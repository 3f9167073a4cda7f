"""Tables of media types: signatures, families, containers, extensions. Aliases are in ``media_type_aliases``."""

#: Types that claim nothing about the content.
NO_CLAIM = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-empty", "inode/x-empty"})

_OOXML = "application/vnd.openxmlformats-officedocument"

#: Formats that begin with a signature: unrecognized content is none of them.
SIGNED = frozenset(
    {
        *("application/gzip", "application/pdf", "application/postscript"),
        *("application/vnd.microsoft.portable-executable", "application/vnd.rar", "application/vnd.sqlite3"),
        *("application/wasm", "application/x-7z-compressed", "application/x-bzip2"),
        *("application/x-ole-storage", "application/x-tar", "application/x-xz", "application/zip"),
        "application/zstd",
        *("audio/aiff", "audio/flac", "audio/midi", "audio/mp4", "audio/wav"),
        *("font/woff", "font/woff2"),
        *("image/avif", "image/bmp", "image/gif", "image/heic", "image/jp2", "image/jpeg", "image/jxl"),
        *("image/png", "image/tiff", "image/vnd.adobe.photoshop", "image/vnd.dwg", "image/vnd.microsoft.icon"),
        "image/webp",
        "model/gltf-binary",
        *("video/3gpp", "video/mp4", "video/quicktime", "video/webm", "video/x-flv", "video/x-matroska"),
        "video/x-msvideo",
    }
)

#: Whole groups of such formats, as ``fnmatch`` patterns: each is a zip file.
SIGNED_FAMILIES = (
    f"{_OOXML}.*",
    "application/vnd.oasis.opendocument.*",
    "application/java-archive",
    "application/*+zip",
)

#: Formats that are recognized by content, though not every file of them: content recognized as another type is none.
RECOGNIZED = (
    "application/msword",
    "application/vnd.android.package-archive",
    "application/vnd.comicbook-rar",
    "application/vnd.google-earth.kmz",
    "application/vnd.ms-excel*",
    "application/vnd.ms-outlook",
    "application/vnd.ms-powerpoint*",
    "application/vnd.ms-word.*",
    "application/vnd.visio",
    "application/x-msi",
    "model/3mf",
)

#: Formats that share a container or a signature, so that neither name nor signature distinguishes them.
FAMILIES = (
    frozenset(
        {
            "application/mp4",
            "audio/3gpp",
            "audio/3gpp2",
            "audio/mp4",
            "video/3gpp",
            "video/3gpp2",
            "video/mp4",
            "video/quicktime",
        }
    ),
    frozenset({"application/ogg", "audio/ogg", "audio/opus", "audio/x-vorbis+ogg", "video/ogg"}),
    frozenset({"audio/webm", "audio/x-matroska", "video/webm", "video/x-matroska"}),
    frozenset({"audio/x-ms-wma", "video/x-ms-asf"}),
    frozenset({"audio/aac", "audio/mpeg", "video/mp2t", "video/mpeg"}),
    frozenset({"image/avif", "image/heic", "image/heic-sequence", "image/heif", "image/heif-sequence"}),
    frozenset({"image/jp2", "image/jpm", "image/jpx", "image/x-jp2-codestream", "video/mj2"}),
    frozenset({"image/vnd.microsoft.icon", "image/x-win-bitmap"}),
    frozenset({f"image/x-portable-{kind}" for kind in ("anymap", "bitmap", "floatmap", "graymap", "pixmap")}),
    frozenset({"font/collection", "font/otf", "font/ttf"}),
    frozenset({"application/x-hwp", "application/x-ole-storage"}),
    frozenset({f"{_OOXML}.wordprocessingml.document", f"{_OOXML}.wordprocessingml.template"}),
    frozenset({f"{_OOXML}.spreadsheetml.sheet", f"{_OOXML}.spreadsheetml.template"}),
    frozenset({f"{_OOXML}.presentationml.{kind}" for kind in ("presentation", "slide", "slideshow", "template")}),
    frozenset({f"application/vnd.ms-word.{kind}.macroenabled.12" for kind in ("document", "template")}),
    frozenset({f"application/vnd.ms-excel.{kind}.macroenabled.12" for kind in ("addin", "sheet", "template")}),
    frozenset(
        {
            f"application/vnd.ms-powerpoint.{kind}.macroenabled.12"
            for kind in ("addin", "presentation", "slide", "slideshow", "template")
        }
    ),
)

#: Claimed type -> ``fnmatch`` patterns of other content that its programs open: exports for Word and Excel, documents
#: of later versions, Illustrator files, icons, comics; and TypeScript, which browsers declare as MPEG-TS.
ALTERNATIVE_CONTENT = {
    "application/msword": (
        "application/rtf",
        "application/xhtml+xml",
        "message/rfc822",
        "text/html",
        "text/plain",
        "text/xml",
        f"{_OOXML}.wordprocessingml.*",
    ),
    "application/postscript": ("application/pdf",),
    "application/vnd.comicbook+zip": ("application/vnd.rar", "application/x-7z-compressed"),
    "application/vnd.comicbook-rar": ("application/vnd.rar", "application/x-7z-compressed", "application/zip"),
    "application/vnd.ms-excel": (
        "application/xhtml+xml",
        "message/rfc822",
        "text/csv",
        "text/html",
        "text/plain",
        "text/tab-separated-values",
        "text/xml",
        f"{_OOXML}.spreadsheetml.*",
    ),
    "application/vnd.ms-office": (
        "application/msword",
        "application/vnd.ms-*",
        "application/vnd.visio",
        "application/x-ole-storage",
        f"{_OOXML}.*",
    ),
    # Message catalogues of other programs, and mail.
    "application/vnd.ms-outlook": ("message/rfc822", "text/plain"),
    "application/vnd.ms-powerpoint": (f"{_OOXML}.presentationml.*",),
    "image/vnd.microsoft.icon": ("image/bmp", "image/gif", "image/png"),
    "video/mp2t": ("application/json", "text/*"),
}

#: Extension -> types that public tables give for it although other files have it too, so that clients declare them.
DECLARED_BY_EXTENSION = {
    "ass": ("audio/aac",),
    "asx": ("video/x-ms-asf",),
    "bat": ("application/vnd.microsoft.portable-executable",),
    "cmd": ("application/vnd.microsoft.portable-executable",),
    "com": ("application/vnd.microsoft.portable-executable",),
    "dot": ("application/msword", "text/vnd.graphviz"),
    "mod": ("application/xml-dtd",),
    "msi": ("application/vnd.microsoft.portable-executable",),
    "otf": ("application/vnd.oasis.opendocument.formula-template",),
    "pot": ("application/vnd.ms-powerpoint", "text/plain", "text/x-gettext-translation-template"),
    "ppa": ("application/vnd.ms-powerpoint",),
    "sub": ("text/vnd.dvb.subtitle", "text/x-microdvd", "text/x-mpsub", "text/x-subviewer"),
    "ts": ("text/vnd.trolltech.linguist", "video/mp2t"),
    "vst": ("application/vnd.visio",),
    "x3dz": ("model/x3d+xml",),
}

#: Extension of a compressed file -> its detected type.
COMPRESSED = {
    "br": "application/octet-stream",
    "bz2": "application/x-bzip2",
    "gz": "application/gzip",
    "lz": "application/x-lzip",
    "lz4": "application/x-lz4",
    "lzma": "application/x-lzma",
    "xz": "application/x-xz",
    "z": "application/x-compress",
    "zst": "application/zstd",
}

_TARS = ("application/x-compressed-tar", "application/x-tar")

#: Container type -> ``fnmatch`` patterns of the types that are this container with certain content.
CONTAINERS = {
    "application/zip": (
        "application/*+zip",
        "application/java-archive",
        "application/onenote",
        "application/oxps",
        "application/vnd.android.package-archive",
        "application/vnd.apple.*",
        "application/vnd.google-earth.kmz",
        "application/vnd.ms-*",
        "application/vnd.oasis.opendocument.*",
        "application/vnd.openxmlformats-officedocument.*",
        "application/vnd.sun.xml.*",
        "application/x-xpinstall",
        "image/openraster",
        "model/*",
    ),
    "application/x-ole-storage": (
        "application/msword",
        "application/vnd.ms-*",
        "application/vnd.visio",
        "application/x-hwp",
        "application/x-msi",
        "image/vnd.fpx",
    ),
    "application/gzip": (*_TARS, "image/svg+xml"),
    "application/x-bzip2": (*_TARS, "application/x-bzip-compressed-tar"),
    "application/x-xz": (*_TARS, "application/x-xz-compressed-tar"),
    "application/zstd": (*_TARS, "application/x-zstd-compressed-tar"),
    "application/vnd.rar": ("application/vnd.comicbook-rar",),
    "image/tiff": ("image/x-*",),
    "text/xml": ("*+xml", "*-flat-xml"),
}

#: Formats of printable characters, which the name of a text does not contradict.
READABLE = ("application/pgp-*", "application/postscript", "image/x-portable-*", "image/x-xpixmap", "image/x-xbitmap")

#: Text types that are not ``text/*``.
TEXT = frozenset(
    {
        *("application/graphql", "application/json", "application/json5", "application/mbox"),
        *("application/rtf", "application/sql", "application/toml", "application/vnd.apple.mpegurl"),
        *("application/x-httpd-php", "application/x-ndjson", "application/x-sh", "application/x-subrip"),
        *("application/x-sylk", "application/xml-dtd", "application/yaml"),
        *("audio/x-mpegurl", "audio/x-scpls"),
        "image/vnd.dxf",
        "message/rfc822",
        *("model/iges", "model/mtl", "model/vrml", "model/obj", "model/step", "model/stl"),
    }
)

#: Text types whose markup must be parsed to read the text.
MARKED_UP_TEXT = frozenset({"application/rtf", "message/rfc822"})

#: Raster pictures in formats of browsers and cameras. libvips has a loader for untrusted files for each.
RASTER_IMAGES = (
    "image/avif",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
)

#: Older raster formats without a loader in libvips.
BITMAP_IMAGES = (
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/vnd.zbrush.pcx",
    "image/x-pcx",
    "image/x-portable-anymap",
    "image/x-portable-arbitrarymap",
    "image/x-portable-bitmap",
    "image/x-portable-graymap",
    "image/x-portable-greymap",
    "image/x-portable-pixmap",
    "image/x-tga",
    "image/x-win-bitmap",
)

#: Raw photographs.
RAW_IMAGES = (
    "image/x-adobe-dng",
    "image/x-canon-cr2",
    "image/x-nikon-nef",
    "image/x-olympus-orf",
    "image/x-panasonic-rw2",
    "image/x-pentax-pef",
    "image/x-sony-arw",
)

#: Archives and compressed files, whose size says little about their content. Files of other types that are archives by
#: their structure (``archive_types``) have the archive type in the fact ``also``.
ARCHIVES = (
    *("application/*+zip", "application/gzip", "application/java-archive"),
    *("application/vnd.debian.binary-package", "application/vnd.android.package-archive"),
    *("application/vnd.google-earth.kmz", "application/vnd.ms-*.macroenabled.12"),
    *("application/vnd.ms-cab-compressed", "application/vnd.oasis.opendocument.*"),
    *("application/vnd.openxmlformats-officedocument.*", "application/vnd.rar", "application/x-7z-compressed"),
    *("application/x-archive", "application/x-bzip2", "application/x-compress", "application/x-cpio"),
    *("application/x-iso9660-image", "application/x-lz4", "application/x-lzip", "application/x-lzma"),
    *("application/x-rpm", "application/x-tar", "application/x-xz", "application/zip", "application/zstd"),
    "model/3mf",
)

#: Type -> the extensions that claim it, the usual one first. Other extensions claim nothing.
_EXTENSIONS_OF = {
    "application/atom+xml": "atom",
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/gpx+xml": "gpx",
    "application/gzip": "gz tgz",
    "application/java-archive": "jar ear war",
    "application/json": "json",
    "application/json5": "json5",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/mbox": "mbox",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/postscript": "ps eps",
    "application/rdf+xml": "rdf",
    "application/rss+xml": "rss",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/toml": "toml",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.comicbook+zip": "cbz",
    "application/vnd.comicbook-rar": "cbr",
    "application/vnd.debian.binary-package": "deb",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "application/vnd.microsoft.portable-executable": "exe dll",
    "application/vnd.ms-cab-compressed": "cab",
    "application/vnd.ms-excel": "xls xla xlt",
    "application/vnd.ms-excel.addin.macroenabled.12": "xlam",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-excel.template.macroenabled.12": "xltm",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.ms-htmlhelp": "chm",
    "application/vnd.ms-outlook": "msg",
    "application/vnd.ms-outlook-pst": "pst",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.ms-powerpoint.addin.macroenabled.12": "ppam",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptm",
    "application/vnd.ms-powerpoint.slideshow.macroenabled.12": "ppsm",
    "application/vnd.ms-powerpoint.template.macroenabled.12": "potm",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/vnd.ms-word.template.macroenabled.12": "dotm",
    "application/vnd.oasis.opendocument.chart": "odc",
    "application/vnd.oasis.opendocument.database": "odb",
    "application/vnd.oasis.opendocument.formula": "odf",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/vnd.oasis.opendocument.graphics-flat-xml": "fodg",
    "application/vnd.oasis.opendocument.graphics-template": "otg",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.presentation-flat-xml": "fodp",
    "application/vnd.oasis.opendocument.presentation-template": "otp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.spreadsheet-flat-xml": "fods",
    "application/vnd.oasis.opendocument.spreadsheet-template": "ots",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.text-flat-xml": "fodt",
    "application/vnd.oasis.opendocument.text-master": "odm",
    "application/vnd.oasis.opendocument.text-template": "ott",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx",
    "application/vnd.openxmlformats-officedocument.presentationml.template": "potx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": "xltx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx",
    "application/vnd.rar": "rar",
    "application/vnd.recordare.musicxml+xml": "musicxml",
    "application/vnd.sqlite3": "sqlite",
    "application/vnd.sun.xml.calc": "sxc",
    "application/vnd.sun.xml.impress": "sxi",
    "application/vnd.sun.xml.writer": "sxw",
    "application/vnd.tcpdump.pcap": "pcap",
    "application/vnd.visio": "vsd",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bzip2": "bz2 tbz tbz2",
    "application/x-httpd-php": "php",
    "application/x-hwp": "hwp",
    "application/x-ipynb+json": "ipynb",
    "application/x-lz4": "lz4",
    "application/x-lzma": "lzma",
    "application/x-msi": "msi",
    "application/x-ndjson": "ndjson jsonl",
    "application/x-pcapng": "pcapng",
    "application/x-sh": "sh",
    "application/x-subrip": "srt",
    "application/x-tar": "tar",
    "application/x-xpinstall": "xpi",
    "application/x-xz": "xz txz",
    "application/xhtml+xml": "xht xhtml",
    "application/xliff+xml": "xlf xliff",
    "application/xml-dtd": "dtd",
    "application/xslt+xml": "xsl xslt",
    "application/xspf+xml": "xspf",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/zstd": "zst tzst",
    "audio/aac": "aac",
    "audio/aiff": "aiff aif aifc",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a m4b",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg oga",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "audio/x-matroska": "mka",
    "audio/x-mpegurl": "m3u",
    "audio/x-ms-wma": "wma",
    "font/collection": "ttc",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/emf": "emf",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jp2": "jp2",
    "image/jpeg": "jpg jfif jpe jpeg",
    "image/jpx": "jpf jpx",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg svgz",
    "image/tiff": "tiff tif",
    "image/vnd.adobe.photoshop": "psd psb",
    "image/vnd.djvu": "djvu",
    "image/vnd.dwg": "dwg",
    "image/vnd.dxf": "dxf",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "image/wmf": "wmf",
    "image/x-adobe-dng": "dng",
    "image/x-portable-anymap": "pnm",
    "image/x-portable-bitmap": "pbm",
    "image/x-portable-graymap": "pgm",
    "image/x-portable-pixmap": "ppm",
    "image/x-win-bitmap": "cur",
    "image/x-xbitmap": "xbm",
    "image/x-xpixmap": "xpm",
    "message/rfc822": "eml mht mhtml",
    "model/3mf": "3mf",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/step": "step stp",
    "model/stl": "stl",
    "model/vnd.collada+xml": "dae",
    "text/calendar": "ics ifb vcs",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html htm",
    "text/javascript": "js mjs",
    "text/markdown": "md markdown",
    "text/plain": "txt cfg conf ini log",
    "text/rust": "rs",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/x-c": "c h",
    "text/x-c++": "cc cpp cxx hpp",
    "text/x-diff": "diff patch",
    "text/x-gettext-translation": "po",
    "text/x-go": "go",
    "text/x-java": "java",
    "text/x-lua": "lua",
    "text/x-msdos-batch": "bat",
    "text/x-opml": "opml",
    "text/x-perl": "pl",
    "text/x-python": "py",
    "text/x-rst": "rst",
    "text/x-ruby": "rb",
    "text/x-ssa": "ass ssa",
    "text/x-tex": "tex",
    "text/xml": "xml",
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "video/mp2t": "m2ts mts",
    "video/mp4": "mp4 f4v m4v",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-ms-asf": "wmv",
    "video/x-msvideo": "avi",
}
#: Extension -> the type that it claims.
EXTENSIONS = {extension: kind for kind, extensions in _EXTENSIONS_OF.items() for extension in extensions.split()}
#: Type -> its usual extension. ``ts`` claims nothing, because it is TypeScript too.
USUAL_EXTENSIONS = {kind: extensions.split()[0] for kind, extensions in _EXTENSIONS_OF.items()} | {"video/mp2t": "ts"}
