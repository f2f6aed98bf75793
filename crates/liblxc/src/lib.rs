//! liblxc
