//! Image files: receiving them, looking into them, handing them out (manual 3.3.3).
//!
//! [`Store`] is the directory `LXD_DIR/images`; an image is one file named by its fingerprint, or two
//! (`FINGERPRINT` and `FINGERPRINT.rootfs`). [`Upload`] takes the bytes of a request or a download: it writes and
//! hashes at the same time and looks for `metadata.yaml` at the end; [`multipart`] finds the two files of a split
//! image in a form. Nothing here knows the database. Whatever is read from an image is foreign input: readers have
//! limits (security rule R8), and contents are unpacked only by the confined helper.

mod compress;
mod error;
mod export;
mod format;
mod gzip;
mod inspect;
mod metadata;
pub mod multipart;
mod occupancy;
mod pack;
mod reader;
mod store;
mod tar;
mod upload;

pub use compress::Encoder;
pub use error::ImageError;
pub use export::{ExportPart, export_parts, form_end, form_head};
pub use format::Format;
pub use inspect::{ImageKind, Inspected, inspect, inspect_split, read_member};
pub use metadata::{METADATA_LIMIT, Metadata, TemplateEntry, parse_yaml};
pub use occupancy::{Inside, Occupancy};
pub use pack::Packer;
pub use reader::decoder;
pub use store::{ImageFiles, Store};
pub use upload::{Part, Received, Upload};
