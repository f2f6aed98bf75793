//! `nvidia.*`: the libraries of the host's graphics driver inside an instance, put there by a hook of the LXC project that
//! calls `nvidia-container-cli`.

use std::path::{Path, PathBuf};

use lxd_instance::keys::{
    NVIDIA_DRIVER_CAPABILITIES, NVIDIA_REQUIRE_CUDA, NVIDIA_REQUIRE_DRIVER, NVIDIA_RUNTIME,
};
use lxd_types::{Config, Error, Result};

/// The program that does the work.
const PROGRAM: &str = "nvidia-container-cli";

/// What an instance gets for it.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Runtime {
    /// Variables that tell the hook what is wanted.
    pub environment: Vec<(String, String)>,
    /// The hook.
    pub hook: Option<PathBuf>,
}

/// What the keys ask for.
///
/// # Errors
/// The host does not have what it needs.
pub fn runtime(config: &Config) -> Result<Runtime> {
    if !NVIDIA_RUNTIME.is_on(config) {
        return Ok(Runtime::default());
    }
    // `LXD_LXC_TEMPLATE_CONFIG` names the folder of configurations, beside which that of the hooks is (manual 3.6.6).
    let folder = std::env::var_os("LXD_LXC_TEMPLATE_CONFIG").filter(|path| !path.is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("/usr/share/lxc/config"), PathBuf::from);
    let hook = folder.parent().unwrap_or(Path::new("/")).join("hooks/nvidia");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_program = std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file());
    let missing = [(has_program, PROGRAM.to_owned()), (hook.is_file(), hook.display().to_string())];
    if let Some((_, what)) = missing.iter().find(|(there, _)| !there) {
        return Err(Error::bad_request(format!(
            "nvidia.runtime needs {what}, which this host does not have"
        )));
    }
    Ok(Runtime { environment: environment(config)?, hook: Some(hook) })
}

/// Which devices an instance sees is the matter of its devices; the hook brings the libraries.
fn environment(config: &Config) -> Result<Vec<(String, String)>> {
    let mut all = vec![("NVIDIA_VISIBLE_DEVICES".to_owned(), "none".to_owned())];
    for (name, key) in [
        ("NVIDIA_DRIVER_CAPABILITIES", &NVIDIA_DRIVER_CAPABILITIES),
        ("NVIDIA_REQUIRE_CUDA", &NVIDIA_REQUIRE_CUDA),
        ("NVIDIA_REQUIRE_DRIVER", &NVIDIA_REQUIRE_DRIVER),
    ] {
        let value = key.read(config)?.filter(|value| !value.is_empty());
        all.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_hook() {
        let pairs = [("nvidia.runtime", "true"), ("nvidia.require.cuda", ">=9.0")];
        let config: Config =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let all = environment(&config).unwrap();
        let texts: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            texts,
            [
                "NVIDIA_VISIBLE_DEVICES=none",
                "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
                "NVIDIA_REQUIRE_CUDA=>=9.0"
            ]
        );
        assert_eq!(runtime(&Config::default()).unwrap(), Runtime::default());
    }
}
