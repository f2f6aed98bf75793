//! Interfaces that go while we are there.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkAttribute;

use super::{Result, refused};

/// Something that was there and may be gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Gone {
    /// The interface of this name was deleted, or moved to another namespace.
    Link(String),
    /// The kernel had more to say than there was room for: any interface.
    Unknown,
}

/// What the kernel tells of interfaces that go, in the network namespace of this process.
pub struct LinkWatch {
    gone: BoxStream<'static, Gone>,
}

impl LinkWatch {
    /// Listens from now on.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open() -> Result<Self> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
            .map_err(|error| refused("Watch the network interfaces", error))?;
        tokio::spawn(connection);
        let gone = messages.filter_map(async |(message, _)| match message.payload {
            NetlinkPayload::Overrun(_) => Some(Gone::Unknown),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                link.attributes.into_iter().find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(Gone::Link(name)),
                    _ => None,
                })
            }
            _ => None,
        });
        Ok(Self { gone: gone.boxed() })
    }

    /// Waits for the next one; `None` when the kernel's socket is closed.
    pub async fn next(&mut self) -> Option<Gone> {
        self.gone.next().await
    }
}
