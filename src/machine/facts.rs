//! Facts about the hardware and the operating system.

use std::env::consts;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use nix::sys::utsname::{UtsName, uname};
use sysinfo::{Product, System};

use crate::machine::stats;
use crate::model::MachineFacts;

/// Files that container engines (Docker, Podman) put into every container.
const CONTAINER_FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Parts of the names of a container's cgroup folders: `docker-<id>.scope`, `libpod-<id>`, `lxc.payload.web`.
const CONTAINER_WORDS: [&str; 6] = ["docker", "containerd", "podman", "libpod", "kubepods", "lxc"];

/// Strings that hypervisors write into DMI, anywhere in the name of the manufacturer or the product. `virtual` is in
/// Virtual Machine (Hyper-V), `VirtualBox`, `VMware` Virtual Platform and VirtualMac2,1.
const HYPERVISORS: [&str; 9] =
    ["virtual", "qemu", "vbox", "innotek", "vmware", "firecracker", "bochs", "bhyve", "parallels"];

/// Strings in the same fields of virtual machines in a cloud.
const CLOUDS: [&str; 5] = ["openstack", "amazon ec2", "google compute engine", "droplet", "vserver"];

/// Strings that count only as whole words, because they are too short.
const VM_WORDS: [&str; 5] = ["kvm", "xen", "domu", "lxc", "vm"];

/// Placeholders that manufacturers leave in DMI, in lower case.
const DMI_PLACEHOLDERS: [&str; 9] = [
    "none",
    "unknown",
    "not specified",
    "not applicable",
    "default string",
    "to be filled by o.e.m.",
    "system manufacturer",
    "system product name",
    "o.e.m.",
];

/// Gathers the facts about this machine. `data_dir` need not exist; its disk space is part of the stats.
///
/// In a container, an unknown manufacturer becomes `Docker`, and an unknown product `Container`.
pub(crate) fn gather(hw_in_docker: bool, data_dir: &Path) -> MachineFacts {
    let kernel = uname().ok();
    let text = |part: fn(&UtsName) -> &OsStr| {
        kernel.as_ref().map(|kernel| part(kernel).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (release, arch) = (text(UtsName::release), text(UtsName::machine));

    let hw_manufacturer = dmi_text(&Product::vendor_name().unwrap_or_default());
    let hw_product = dmi_text(&Product::name().unwrap_or_default());
    let hw_in_vm = is_vm(&hw_manufacturer, &hw_product) || has_hypervisor_flag(&head("/proc/cpuinfo"));
    let or_else = |fact: String, in_docker: &str| {
        if hw_in_docker && fact.is_empty() { in_docker.to_owned() } else { fact }
    };

    MachineFacts {
        hostname: text(UtsName::nodename),
        hw_in_docker,
        hw_in_vm,
        hw_manufacturer: or_else(hw_manufacturer, "Docker"),
        hw_product: or_else(hw_product, "Container"),
        hw_uuid: dmi_text(&Product::uuid().unwrap_or_default()),
        os_family: consts::OS.to_owned(),
        os_platform: platform(&text(UtsName::sysname), &release, &arch),
        os_release: distribution().unwrap_or(release),
        os_kernel: text(UtsName::version),
        os_arch: arch,
        stats: stats::gather(data_dir),
    }
}

/// Returns whether this machine is a container.
pub(crate) fn is_container() -> bool {
    CONTAINER_FILES.iter().any(|path| Path::new(path).exists())
        || is_container_engine(&head("/run/systemd/container"))
        || is_container_cgroup(&head("/proc/self/cgroup"))
}

/// Returns the name of the distribution or, on macOS, of the release, or `None` if it is unknown.
fn distribution() -> Option<String> {
    // os-release(5): the second file is read only if the first one does not exist.
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| fs_err::read_to_string(path).ok())
        .and_then(|text| pretty_name(&text))
        .or_else(|| System::long_os_version().ok())
}

/// Returns the first 16 KiB of a file, or an empty text if it cannot be opened. The first CPU in `/proc/cpuinfo` is
/// enough, and the kernel needs a long time to list a hundred of them.
pub(super) fn head(path: &str) -> String {
    let mut bytes = Vec::new();
    // If reading fails, the bytes that were read before are used.
    let _ = fs_err::File::open(path).and_then(|file| file.take(16 * 1024).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns whether a process with this `/proc/self/cgroup` is in a container. The engine's own service on the host is
/// not.
fn is_container_cgroup(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .filter(|folder| !folder.ends_with(".service"))
        .any(|folder| CONTAINER_WORDS.iter().any(|word| folder.contains(word)))
}

/// Returns whether `/run/systemd/container` names a container engine. systemd also writes WSL there, a virtual machine.
fn is_container_engine(text: &str) -> bool {
    !matches!(text.trim(), "" | "wsl")
}

/// Returns whether DMI names a hypervisor. A bare-metal machine of EC2 also has the manufacturer "Amazon EC2", but a
/// product such as `m5.metal`.
fn is_vm(manufacturer: &str, product: &str) -> bool {
    let text = format!("{manufacturer} {product}").to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    !text.contains(".metal")
        && (HYPERVISORS.iter().chain(&CLOUDS).any(|name| text.contains(name))
            || words.any(|word| VM_WORDS.contains(&word)))
}

/// Returns whether the x86 CPU has the flag of a hypervisor.
fn has_hypervisor_flag(cpuinfo: &str) -> bool {
    cpuinfo.lines().filter_map(|line| line.split_once(':')).any(|(key, flags)| {
        key.trim() == "flags" && flags.split_whitespace().any(|flag| flag == "hypervisor")
    })
}

/// Returns a DMI field without surrounding blanks, or an empty text if it is a placeholder.
fn dmi_text(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let is_placeholder = DMI_PLACEHOLDERS.contains(&text.to_lowercase().as_str());
    if is_placeholder { String::new() } else { text.to_owned() }
}

/// Returns `PRETTY_NAME` of os-release(5), whose values are quoted as in a shell, or `None` if it is missing or
/// invalid.
fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.trim_start().strip_prefix("PRETTY_NAME="))?;
    Some(shlex::split(value)?.join(" ")).filter(|name| !name.is_empty())
}

/// Returns the platform as Python's `platform.platform()` does, without the C library: `Linux-6.1.0-13-amd64-x86_64`.
fn platform(system: &str, release: &str, arch: &str) -> String {
    let parts: Vec<_> = [system, release, arch].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-").replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_path_of_a_container_engine_is_a_container() {
        for text in [
            "12:memory:/docker/3f4e5d6c\n0::/\n",
            "1:name=systemd:/system.slice/docker-3f4e5d6c.scope\n",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-3f4e.scope/container\n",
            "0::/machine.slice/libpod-3f4e.scope\n",
            "0::/kubepods/besteffort/pod1/3f4e\n",
            "0::/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:3f4e\n",
            "4:cpu:/lxc.payload.web\n",
            "2:cpu:/podman/3f4e\n",
        ] {
            assert!(is_container_cgroup(text), "{text:?}");
        }
    }

    #[test]
    fn a_host_that_runs_the_engine_is_not_a_container() {
        for text in [
            "",
            "invalid docker\n",
            "0::/\n",
            "0::/init.scope\n",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            "0::/system.slice/docker.service\n",
            "1:name=systemd:/system.slice/containerd.service\n",
        ] {
            assert!(!is_container_cgroup(text), "{text:?}");
        }
    }

    #[test]
    fn systemd_names_the_container_engine_but_wsl_is_not_one() {
        assert!(is_container_engine("lxc\n"));
        assert!(is_container_engine("systemd-nspawn"));
        assert!(!is_container_engine("wsl\n"));
        assert!(!is_container_engine(""));
    }

    #[test]
    fn dmi_names_of_hypervisors_are_virtual_machines() {
        for (manufacturer, product) in [
            ("QEMU", "Standard PC (Q35 + ICH9, 2009)"),
            ("Red Hat", "KVM"),
            ("innotek GmbH", "VirtualBox"),
            ("VMware, Inc.", "VMware7,1"),
            ("Microsoft Corporation", "Virtual Machine"),
            ("Xen", "HVM domU"),
            ("Amazon EC2", "t3.micro"),
            ("Google", "Google Compute Engine"),
            ("DigitalOcean", "Droplet"),
            ("Hetzner", "vServer"),
            ("", "Firecracker"),
            ("Apple Inc.", "VirtualMac2,1"),
            ("", "LXC"),
        ] {
            assert!(is_vm(manufacturer, product), "{manufacturer} {product}");
        }
    }

    #[test]
    fn hardware_is_not_a_virtual_machine() {
        for (manufacturer, product) in [
            ("", ""),
            ("Dell Inc.", "PowerEdge R740"),
            ("Supermicro", "Xenon 4000"),
            ("LENOVO", "20XW004AVM1"),
            ("Amazon EC2", "m5.metal"),
            ("Amazon EC2", "c7i.metal-48xl"),
            ("Apple Inc.", "MacBookPro18,3"),
        ] {
            assert!(!is_vm(manufacturer, product), "{manufacturer} {product}");
        }
    }

    #[test]
    fn only_the_cpu_flag_itself_means_a_hypervisor() {
        assert!(has_hypervisor_flag("processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"));
        assert!(!has_hypervisor_flag("processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"));
        assert!(!has_hypervisor_flag("model name\t: hypervisor\nvmx flags\t: hypervisor\n"));
        assert!(!has_hypervisor_flag("Features\t: fp asimd\n"));
    }

    #[test]
    fn a_placeholder_in_dmi_becomes_empty() {
        for text in
            ["", " \n", "To Be Filled By O.E.M.\n", "Default string", "Not Specified", "System Product Name"]
        {
            assert_eq!(dmi_text(text), "", "{text:?}");
        }
        assert_eq!(dmi_text("PowerEdge R740 \n"), "PowerEdge R740");
        assert_eq!(dmi_text("Raspberry Pi 4 Model B Rev 1.4\0"), "Raspberry Pi 4 Model B Rev 1.4");
    }

    #[test]
    fn the_distribution_is_the_pretty_name_in_any_quotes() {
        let debian = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n";
        assert_eq!(pretty_name(debian).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(pretty_name("PRETTY_NAME='Arch Linux'").as_deref(), Some("Arch Linux"));
        assert_eq!(pretty_name("PRETTY_NAME=Alpine").as_deref(), Some("Alpine"));
        assert_eq!(pretty_name(r#"PRETTY_NAME="A \"B\"""#).as_deref(), Some(r#"A "B""#));
        for none in ["", "NAME=x", "PRETTY_NAME=", "PRETTY_NAME=\"\"", "PRETTY_NAME=\"open", "#PRETTY_NAME=x"]
        {
            assert_eq!(pretty_name(none), None, "{none:?}");
        }
    }

    #[test]
    fn unknown_parts_of_the_platform_are_left_out() {
        assert_eq!(platform("Linux", "6.1.0-13-amd64", "x86_64"), "Linux-6.1.0-13-amd64-x86_64");
        assert_eq!(platform("Linux", "", "x86_64"), "Linux-x86_64");
        assert_eq!(platform("", "", ""), "");
    }

    #[test]
    fn the_facts_of_this_machine_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let facts = gather(false, dir.path());
        assert_eq!(facts.os_family, consts::OS);
        for known in
            [&facts.hostname, &facts.os_arch, &facts.os_platform, &facts.os_release, &facts.os_kernel]
        {
            assert!(!known.is_empty(), "{facts:?}");
        }
        assert!(facts.os_platform.ends_with(&facts.os_arch));
        assert!(facts.stats.contains_key("disk_data_free_gb"));
    }

    #[test]
    fn a_hint_makes_a_container_whose_hardware_is_never_empty() {
        let facts = gather(true, Path::new("/no/such/folder"));
        assert!(facts.hw_in_docker);
        assert!(!facts.hw_manufacturer.is_empty() && !facts.hw_product.is_empty());
    }
}
