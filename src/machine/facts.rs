//! What the hardware and the operating system say about themselves.

use std::env::consts;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use nix::sys::utsname::{UtsName, uname};
use sysinfo::{Product, System};

use super::stats;
use crate::model::machine::MachineFacts;

/// Files that container engines put into every container: Docker, Podman.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// What a cgroup folder of a container has in its name: `docker-<id>.scope`, `libpod-<id>`, `lxc.payload.web`.
const CONTAINER_WORDS: [&str; 6] = ["docker", "containerd", "podman", "libpod", "kubepods", "lxc"];

/// What the makers of virtual machines write into DMI, anywhere in the maker's or the product's name.
const VM_PHRASES: [&str; 14] = [
    "virtual", // Virtual Machine (Hyper-V), VirtualBox, VMware Virtual Platform, VirtualMac2,1
    "qemu",
    "vbox",
    "innotek",
    "vmware",
    "firecracker",
    "bochs",
    "bhyve",
    "parallels",
    "openstack",
    "amazon ec2",
    "google compute engine",
    "droplet",
    "vserver",
];

/// The same, but too short to be looked for within other words.
const VM_WORDS: [&str; 5] = ["kvm", "xen", "domu", "lxc", "vm"];

/// What board makers leave in DMI where nobody filled it in, in lower case.
const DMI_BLANKS: [&str; 9] = [
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

/// The facts of this machine, now. `in_docker_hint` is what the caller was told (`IN_DOCKER`): it can only add to
/// what is seen. `data_dir` need not exist; its disk space is part of the stats.
///
/// In a container, an unknown maker and product are `Docker` and `Container`.
pub fn facts(in_docker_hint: bool, data_dir: &Path) -> MachineFacts {
    let kernel = uname().ok();
    let told = |part: fn(&UtsName) -> &OsStr| {
        kernel.as_ref().map(|kernel| part(kernel).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (release, arch) = (told(UtsName::release), told(UtsName::machine));

    let hw_in_docker = in_docker_hint || in_container();
    let mut hw_manufacturer = dmi_text(&Product::vendor_name().unwrap_or_default());
    let mut hw_product = dmi_text(&Product::name().unwrap_or_default());
    let hw_in_vm = is_vm(&hw_manufacturer, &hw_product) || has_hypervisor_flag(&head("/proc/cpuinfo"));
    if hw_in_docker {
        or_else(&mut hw_manufacturer, "Docker");
        or_else(&mut hw_product, "Container");
    }

    MachineFacts {
        hostname: told(UtsName::nodename),
        hw_in_docker,
        hw_in_vm,
        hw_manufacturer,
        hw_product,
        hw_uuid: dmi_text(&Product::uuid().unwrap_or_default()),
        os_family: consts::OS.to_owned(),
        os_platform: platform(&told(UtsName::sysname), &release, &arch),
        os_release: distribution().unwrap_or(release),
        os_kernel: told(UtsName::version),
        os_arch: arch,
        stats: stats::gather(data_dir),
    }
}

fn or_else(fact: &mut String, default: &str) {
    if fact.is_empty() {
        default.clone_into(fact);
    }
}

fn in_container() -> bool {
    CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists())
        || is_container_engine(&head("/run/systemd/container"))
        || is_container_cgroup(&head("/proc/self/cgroup"))
}

/// The name of the distribution; on macOS, of the release.
fn distribution() -> Option<String> {
    // os-release(5): the second is read only where the first is missing.
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| fs_err::read_to_string(path).ok())
        .and_then(|text| pretty_name(&text))
        .or_else(|| System::long_os_version().ok())
}

/// The first 16 KiB of a file, or nothing. One CPU of `/proc/cpuinfo` is enough, and the kernel takes its time to
/// write down all of a hundred.
fn head(path: &str) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is as good as a shorter file.
    let _ = fs_err::File::open(path).and_then(|file| file.take(16 * 1024).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a process with this `/proc/self/cgroup` is in a container. The engine's own service on the host is not.
fn is_container_cgroup(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .filter(|folder| !folder.ends_with(".service"))
        .any(|folder| CONTAINER_WORDS.iter().any(|word| folder.contains(word)))
}

/// Whether `/run/systemd/container` names a container. systemd calls WSL one; it is a virtual machine.
fn is_container_engine(text: &str) -> bool {
    !matches!(text.trim(), "" | "wsl")
}

/// Whether DMI names a hypervisor. EC2 says "Amazon EC2" on bare metal too, with a product such as `m5.metal`.
fn is_vm(manufacturer: &str, product: &str) -> bool {
    let text = format!("{manufacturer} {product}").to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    !text.contains(".metal")
        && (VM_PHRASES.iter().any(|phrase| text.contains(phrase))
            || words.any(|word| VM_WORDS.contains(&word)))
}

/// Whether the x86 CPU says that a hypervisor stands between it and this system.
fn has_hypervisor_flag(cpuinfo: &str) -> bool {
    cpuinfo.lines().filter_map(|line| line.split_once(':')).any(|(key, flags)| {
        key.trim() == "flags" && flags.split_whitespace().any(|flag| flag == "hypervisor")
    })
}

/// A DMI field without blanks around it; empty where it says only that nobody filled it in.
fn dmi_text(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let blank = DMI_BLANKS.contains(&text.to_lowercase().as_str());
    if blank { String::new() } else { text.to_owned() }
}

/// `PRETTY_NAME` of os-release(5), whose values are quoted as a shell would have them.
fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.trim_start().strip_prefix("PRETTY_NAME="))?;
    Some(shlex::split(value)?.join(" ")).filter(|name| !name.is_empty())
}

/// As Python's `platform.platform()`, without the C library that Python was built for: `Linux-6.1.0-13-amd64-x86_64`.
fn platform(system: &str, release: &str, arch: &str) -> String {
    let known: Vec<_> = [system, release, arch].into_iter().filter(|part| !part.is_empty()).collect();
    known.join("-").replace(' ', "_")
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
    fn a_host_is_not_a_container_even_where_it_runs_the_engine() {
        for text in [
            "",
            "garbage docker\n",
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
    fn systemd_names_the_container_engine_but_wsl_is_none() {
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
    fn hardware_is_no_virtual_machine_whatever_letters_its_name_has() {
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
    fn only_the_cpu_flag_itself_tells_of_a_hypervisor() {
        assert!(has_hypervisor_flag("processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"));
        assert!(!has_hypervisor_flag("processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"));
        assert!(!has_hypervisor_flag("model name\t: hypervisor\nvmx flags\t: hypervisor\n"));
        assert!(!has_hypervisor_flag("Features\t: fp asimd\n"));
    }

    #[test]
    fn a_dmi_field_that_nobody_filled_in_is_empty() {
        for text in
            ["", " \n", "To Be Filled By O.E.M.\n", "Default string", "Not Specified", "System Product Name"]
        {
            assert_eq!(dmi_text(text), "", "{text:?}");
        }
        assert_eq!(dmi_text("PowerEdge R740 \n"), "PowerEdge R740");
        assert_eq!(dmi_text("Raspberry Pi 4 Model B Rev 1.4\0"), "Raspberry Pi 4 Model B Rev 1.4");
    }

    #[test]
    fn the_distribution_is_the_pretty_name_however_it_is_quoted() {
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
    fn the_platform_leaves_out_what_is_unknown() {
        assert_eq!(platform("Linux", "6.1.0-13-amd64", "x86_64"), "Linux-6.1.0-13-amd64-x86_64");
        assert_eq!(platform("Linux", "", "x86_64"), "Linux-x86_64");
        assert_eq!(platform("", "", ""), "");
    }

    #[test]
    fn the_facts_of_this_machine_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let facts = facts(false, dir.path());
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
    fn a_caller_who_knows_of_the_container_is_believed_and_its_hardware_is_never_blank() {
        let facts = facts(true, Path::new("/no/such/folder"));
        assert!(facts.hw_in_docker);
        assert!(!facts.hw_manufacturer.is_empty() && !facts.hw_product.is_empty());
    }
}
