//! Declarations of liblxc's C API, written by hand, and their loading at run time.
//!
//! `struct lxc_container` is a table of function pointers to which later versions only append, so one mirror serves
//! liblxc 5, 6 and 7 (dependencies, section 3). Nothing links against liblxc: a machine without it can run the
//! client and virtual machines; [`Library::open`] finds it when a container is wanted.
#![allow(unsafe_code, non_camel_case_types)]
#![allow(missing_docs, reason = "the names are liblxc's own; its manual describes them")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};

/// Function that runs in the attached process.
pub type lxc_attach_exec_t = unsafe extern "C" fn(payload: *mut c_void) -> c_int;

type C = *mut lxc_container;
type Predicate = Option<unsafe extern "C" fn(C) -> bool>;
type Text = *const c_char;
type Unused = *const c_void;

/// `struct lxc_container` up to `devpts_fd`, the last member of 5.0.
#[repr(C)]
pub struct lxc_container {
    name: *mut c_char,
    configfile: *mut c_char,
    pidfile: *mut c_char,
    slock: *mut c_void,
    privlock: *mut c_void,
    numthreads: c_int,
    lxc_conf: *mut c_void,
    pub error_string: *mut c_char,
    pub error_num: c_int,
    pub daemonize: bool,
    pub config_path: *mut c_char,

    pub is_defined: Predicate,
    pub state: Option<unsafe extern "C" fn(C) -> Text>,
    pub is_running: Predicate,
    pub freeze: Predicate,
    pub unfreeze: Predicate,
    pub init_pid: Option<unsafe extern "C" fn(C) -> libc::pid_t>,
    pub load_config: Option<unsafe extern "C" fn(C, Text) -> bool>,
    pub start: Option<unsafe extern "C" fn(C, c_int, *const *mut c_char) -> bool>,
    startl: Unused,
    pub stop: Predicate,
    pub want_daemonize: Option<unsafe extern "C" fn(C, bool) -> bool>,
    pub want_close_all_fds: Option<unsafe extern "C" fn(C, bool) -> bool>,
    config_file_name: Unused,
    pub wait: Option<unsafe extern "C" fn(C, Text, c_int) -> bool>,
    pub set_config_item: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    destroy: Unused,
    pub save_config: Option<unsafe extern "C" fn(C, Text) -> bool>,
    create: Unused,
    createl: Unused,
    rename: Unused,
    pub reboot: Predicate,
    pub shutdown: Option<unsafe extern "C" fn(C, c_int) -> bool>,
    pub clear_config: Option<unsafe extern "C" fn(C)>,
    pub clear_config_item: Option<unsafe extern "C" fn(C, Text) -> bool>,
    pub get_config_item: Option<unsafe extern "C" fn(C, Text, *mut c_char, c_int) -> c_int>,
    pub get_running_config_item: Option<unsafe extern "C" fn(C, Text) -> *mut c_char>,
    get_keys: Unused,
    get_interfaces: Unused,
    get_ips: Unused,
    pub get_cgroup_item: Option<unsafe extern "C" fn(C, Text, *mut c_char, c_int) -> c_int>,
    pub set_cgroup_item: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    get_config_path: Unused,
    set_config_path: Unused,
    clone: Unused,
    pub console_getfd: Option<unsafe extern "C" fn(C, *mut c_int, *mut c_int) -> c_int>,
    console: Unused,
    pub attach: Option<
        unsafe extern "C" fn(
            C,
            lxc_attach_exec_t,
            *mut c_void,
            *mut lxc_attach_options_t,
            *mut libc::pid_t,
        ) -> c_int,
    >,
    attach_run_wait: Unused,
    attach_run_waitl: Unused,
    snapshot: Unused,
    snapshot_list: Unused,
    snapshot_restore: Unused,
    snapshot_destroy: Unused,
    pub may_control: Predicate,
    pub add_device_node: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    pub remove_device_node: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    pub attach_interface: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    pub detach_interface: Option<unsafe extern "C" fn(C, Text, Text) -> bool>,
    checkpoint: Unused,
    restore: Unused,
    destroy_with_snapshots: Unused,
    snapshot_destroy_all: Unused,
    pub migrate: Option<unsafe extern "C" fn(C, c_uint, *mut c_void, c_uint) -> c_int>,
    pub console_log: Option<unsafe extern "C" fn(C, *mut lxc_console_log) -> c_int>,
    reboot2: Unused,
    pub mount:
        Option<unsafe extern "C" fn(C, Text, Text, Text, c_ulong, *const c_void, *mut lxc_mount) -> c_int>,
    pub umount: Option<unsafe extern "C" fn(C, Text, c_ulong, *mut lxc_mount) -> c_int>,
    pub seccomp_notify_fd: Option<unsafe extern "C" fn(C) -> c_int>,
    seccomp_notify_fd_active: Unused,
    pub init_pidfd: Option<unsafe extern "C" fn(C) -> c_int>,
    pub devpts_fd: Option<unsafe extern "C" fn(C) -> c_int>,
}

/// `struct lxc_console_log`.
#[repr(C)]
pub struct lxc_console_log {
    pub clear: bool,
    pub read: bool,
    pub read_max: *mut u64,
    pub data: *mut c_char,
}

/// `struct lxc_mount`.
#[repr(C)]
pub struct lxc_mount {
    pub version: c_int,
}

/// `lxc_groups_t`.
#[repr(C)]
pub struct lxc_groups_t {
    pub size: usize,
    pub list: *mut libc::gid_t,
}

/// `lxc_attach_options_t` of 5.0 to 7.0.
#[repr(C)]
pub struct lxc_attach_options_t {
    pub attach_flags: c_int,
    pub namespaces: c_int,
    pub personality: c_long,
    pub initial_cwd: *mut c_char,
    pub uid: libc::uid_t,
    pub gid: libc::gid_t,
    /// 0 keeps the environment, 1 clears it.
    pub env_policy: c_int,
    pub extra_env_vars: *mut *mut c_char,
    pub extra_keep_env: *mut *mut c_char,
    pub stdin_fd: c_int,
    pub stdout_fd: c_int,
    pub stderr_fd: c_int,
    pub log_fd: c_int,
    pub lsm_label: *mut c_char,
    pub groups: lxc_groups_t,
}

/// `lxc_attach_command_t`: the payload of `lxc_attach_run_command`.
#[repr(C)]
pub struct lxc_attach_command_t {
    pub program: *mut c_char,
    pub argv: *mut *mut c_char,
}

/// All that liblxc does by default when attaching.
pub const LXC_ATTACH_DEFAULT: c_int = 0xFFFF;
/// Clear the environment before `extra_env_vars` are set.
pub const LXC_ATTACH_CLEAR_ENV: c_int = 1;

/// The functions of an opened liblxc. Never closed: liblxc has state of its own.
#[derive(Clone, Copy)]
pub struct Library {
    pub lxc_container_new: unsafe extern "C" fn(Text, Text) -> C,
    pub lxc_container_put: unsafe extern "C" fn(C) -> c_int,
    pub lxc_get_version: unsafe extern "C" fn() -> Text,
    pub lxc_has_api_extension: unsafe extern "C" fn(Text) -> bool,
    pub lxc_config_item_is_supported: unsafe extern "C" fn(Text) -> bool,
    pub lxc_attach_run_command: lxc_attach_exec_t,
}

impl Library {
    /// Opens `liblxc.so.1` and looks its functions up.
    ///
    /// # Errors
    /// The dynamic linker's text.
    pub fn open() -> Result<Self, String> {
        let name = c"liblxc.so.1";
        // SAFETY: the name is a C string; opening runs liblxc's initialisers, which do nothing but set variables.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(linker_error());
        }
        // SAFETY: the types are those of liblxc 5 to 7 (see the crate's text).
        unsafe {
            Ok(Self {
                lxc_container_new: symbol(handle, c"lxc_container_new")?,
                lxc_container_put: symbol(handle, c"lxc_container_put")?,
                lxc_get_version: symbol(handle, c"lxc_get_version")?,
                lxc_has_api_extension: symbol(handle, c"lxc_has_api_extension")?,
                lxc_config_item_is_supported: symbol(handle, c"lxc_config_item_is_supported")?,
                lxc_attach_run_command: symbol(handle, c"lxc_attach_run_command")?,
            })
        }
    }
}

/// Looks one function up.
///
/// # Safety
/// `F` must be the function pointer type of that symbol.
unsafe fn symbol<F: Copy>(handle: *mut c_void, name: &CStr) -> Result<F, String> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: handle is from dlopen and never closed, name is a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if address.is_null() {
        return Err(linker_error());
    }
    // SAFETY: not null, of pointer size; the caller names the right type.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

fn linker_error() -> String {
    // SAFETY: dlerror gives null or a C string valid until the next call in this thread; it is copied at once.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() { CString::default() } else { CStr::from_ptr(text).to_owned() }
    };
    text.to_string_lossy().into_owned()
}
