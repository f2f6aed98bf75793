//! liblxc-sys
