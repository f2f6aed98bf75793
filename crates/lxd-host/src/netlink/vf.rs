//! Virtual functions of interfaces: what their parent says of them.

use lxd_types::Mac;
use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkMessage, LinkVfInfo, VfInfo, VfInfoMac, VfInfoSpoofCheck, VfInfoVlan,
};

use super::{Netlink, Result, collect, failed};

/// Settings of a virtual function; when they are written, what is missing stays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VfSettings {
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// The VLAN that its frames belong to; 0 is none.
    pub vlan: Option<u16>,
    /// Whether frames with another source address are dropped.
    pub spoof_check: Option<bool>,
}

impl Netlink {
    /// The settings of a virtual function; `None` when the parent does not know it.
    ///
    /// # Errors
    /// There is no such parent, or the kernel refuses.
    pub async fn vf(&self, parent: &str, id: u32) -> Result<Option<VfSettings>> {
        let index = self.require(parent).await?.index;
        let question = self.handle.link().get().match_index(index);
        let question = question.set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::Vf]);
        let messages = collect("List virtual functions", question.execute()).await?;
        let lists =
            messages.iter().flat_map(|message| &message.attributes).filter_map(|attribute| match attribute {
                LinkAttribute::VfInfoList(list) => Some(list),
                _ => None,
            });
        Ok(lists.flatten().find_map(|LinkVfInfo(infos)| parse(infos, id)))
    }

    /// Changes the settings of a virtual function.
    ///
    /// # Errors
    /// There is no such parent, or its driver refuses.
    pub async fn set_vf(&self, parent: &str, id: u32, settings: &VfSettings) -> Result<()> {
        let index = self.require(parent).await?.index;
        // One by one, as the tool does: drivers refuse a check of the address before they know it.
        for info in infos(id, settings) {
            let done = self.handle.link().change(message(index, info)).execute().await;
            done.map_err(|e| failed(format!("Failed to set virtual function {id} of {parent:?}"), e))?;
        }
        Ok(())
    }
}

fn parse(infos: &[VfInfo], id: u32) -> Option<VfSettings> {
    let mut found = None;
    for info in infos {
        let settings: &mut VfSettings = found.get_or_insert_default();
        match info {
            VfInfo::Mac(mac) if mac.vf_id == id => {
                settings.mac = mac.mac.first_chunk::<6>().map(|bytes| Mac::from_bytes(*bytes));
            }
            VfInfo::Vlan(vlan) if vlan.vf_id == id => settings.vlan = u16::try_from(vlan.vlan_id).ok(),
            VfInfo::SpoofCheck(check) if check.vf_id == id => settings.spoof_check = Some(check.enabled),
            _ => {}
        }
    }
    found.filter(|settings| *settings != VfSettings::default())
}

fn infos(id: u32, settings: &VfSettings) -> Vec<VfInfo> {
    let mac = settings.mac.map(|mac| VfInfo::Mac(VfInfoMac::new(id, &mac.bytes())));
    let vlan = settings.vlan.map(|vlan| VfInfo::Vlan(VfInfoVlan::new(id, vlan.into(), 0)));
    let check = settings.spoof_check.map(|on| VfInfo::SpoofCheck(VfInfoSpoofCheck::new(id, on)));
    [vlan, mac, check].into_iter().flatten().collect()
}

fn message(index: u32, info: VfInfo) -> LinkMessage {
    let list = LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![info])]);
    LinkUnspec::new_with_index(index).append_extra_attribute(list).build()
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable;

    use super::*;

    /// As `ip link set X vf 2 vlan 7` sends it (ifinfomsg, then IFLA_VFINFO_LIST).
    #[test]
    fn requests_are_those_of_the_tool() {
        let settings = VfSettings { vlan: Some(7), ..VfSettings::default() };
        let message = message(3, infos(2, &settings).remove(0));
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let list = [24, 0, 22, 0, 20, 0, 1, 0, 16, 0, 2, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[16..], list);
        assert_eq!(bytes[4..8], [3, 0, 0, 0]);
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let settings =
            VfSettings { mac: Some(Mac::instance([1, 2, 3])), vlan: Some(7), spoof_check: Some(true) };
        let infos = infos(2, &settings);
        assert_eq!(infos.len(), 3);
        assert_eq!(parse(&infos, 2), Some(settings));
        assert_eq!(parse(&infos, 1), None);
    }
}
