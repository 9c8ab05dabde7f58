//! Reads and plans 20,000 requirements.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rigup::internal::plan::{self, Selection};
use rigup::internal::requirement::{self, Requirement};
use rigup::internal::{BinaryName, ProviderName};

const REQUIREMENTS: u32 = 20_000;

/// Returns the lines of all requirements. Every second one shares its name with another, as if two plugins required the
/// same program.
fn lines() -> String {
    use std::fmt::Write;
    let mut lines = String::new();
    for n in 0..REQUIREMENTS {
        let name = if n % 2 == 0 { format!("tool{n}") } else { format!("shared{}", n / 4) };
        writeln!(
            lines,
            r#"{{"type":"Binary","name":"{name}","binproviders":"env,apt","min_version":"1.{n}","overrides":{{"apt":["package{n}"]}}}}"#
        )
        .expect("writing to a string cannot fail");
    }
    lines
}

fn read(lines: &str) -> Vec<Requirement> {
    let (requirements, diagnostics) = requirement::read_from(None, "plugin".as_ref(), lines.as_bytes(), None);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    requirements
}

fn known_providers() -> Vec<ProviderName> {
    ["env", "npm", "pip", "brew", "apt"].map(ProviderName::from_static).into()
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn read_20_000_lines(bencher: Bencher<'_, '_>) {
    let lines = lines();
    bencher
        .counter(ItemsCount::new(REQUIREMENTS))
        .counter(BytesCount::of_str(&lines))
        .bench_local(|| read(&lines));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn plan_20_000_requirements(bencher: Bencher<'_, '_>) {
    let (requirements, providers) = (read(&lines()), known_providers());
    bencher
        .counter(ItemsCount::new(REQUIREMENTS))
        .bench_local(|| plan::plan(&requirements, &Selection::default(), &providers));
}

/// Plans `rigup install NAME...` for names that no plugin requires.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn plan_20_000_bare_names(bencher: Bencher<'_, '_>) {
    let name = |n: u32| BinaryName::parse(&format!("tool{n}"), None).expect("a valid name").into();
    let selection = Selection { names: (0..REQUIREMENTS).map(name).collect(), ..Selection::default() };
    let providers = known_providers();
    bencher.counter(ItemsCount::new(REQUIREMENTS)).bench_local(|| plan::plan(&[], &selection, &providers));
}
