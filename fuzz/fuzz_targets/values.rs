//! Values of configuration keys: what is accepted is printed and read back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lxd_types::{
    BitRate, ByteSize, Cidr, CpuAllowance, CpuLimit, CpuSet, DiskRate, Expiry, Mac, MemoryLimit, RawIdMap,
    Schedule,
};

fuzz_target!(|text: &str| {
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(set) = text.parse::<CpuSet>() {
        assert_eq!(set.to_string().parse(), Ok(set));
    }
    if let Ok(cidr) = text.parse::<Cidr>() {
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
    }
    if let Ok(mac) = text.parse::<Mac>() {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
    let _ = (text.parse::<BitRate>(), text.parse::<DiskRate>(), text.parse::<MemoryLimit>());
    let _ = (text.parse::<CpuLimit>(), text.parse::<CpuAllowance>(), text.parse::<RawIdMap>());
    let _ = (text.parse::<Schedule>(), text.parse::<Expiry>());
});
