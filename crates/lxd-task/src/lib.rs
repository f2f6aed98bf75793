//! What runs: operations with their websockets, the event hub, the undo journal, gates, lanes and
//! background tasks (architecture sections 1 and 5). Nothing here knows what an instance is.

pub mod background;
pub mod events;
pub mod gate;
pub mod journal;
pub mod lane;
pub mod operation;
pub mod socket;
mod spec;
pub mod stream;

pub use events::EventHub;
pub use gate::Gates;
pub use operation::{OpHandle, OperationSpec, Operations};
