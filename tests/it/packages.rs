use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use crate::support::root;

/// The crates that users get from a registry.
const PUBLISHED: [&str; 7] = [
    "thegiant",
    "thegiant-client",
    "thegiant-cluster",
    "thegiant-macros",
    "thegiant-postgres",
    "thegiant-resp",
    "thegiant-tls",
];

/// Files of a package apart from its code. Cargo adds the last four.
const FILES: [&str; 7] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
];

/// Licenses that let users ship a closed program with no more than the texts of the licenses.
const LICENSES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Dependencies of the toolkit that a program gets in two versions: `actix` still uses syn 2, and *ring* an old
/// windows-sys, which Windows alone compiles.
const DUPLICATES: [&str; 2] = ["syn", "windows-sys"];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn only_the_crates_of_the_toolkit_can_be_published() {
    let members = METADATA.members().filter(|package| package["publish"].is_null());
    assert_eq!(members.map(|package| text(&package["name"])).collect::<BTreeSet<_>>(), PUBLISHED.into());
}

#[test]
fn each_package_describes_itself() {
    for package in METADATA.members().filter(|package| package["publish"].is_null()) {
        let name = text(&package["name"]);
        for field in ["description", "documentation", "license", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        let keywords = package["keywords"].as_array().expect("keywords");
        assert!((1..=5).contains(&keywords.len()), "{name} has {} keywords", keywords.len());
        assert!(!package["categories"].as_array().expect("categories").is_empty(), "{name} has no category");
        assert_eq!(
            package["metadata"]["docs"]["rs"]["all-features"].as_bool(),
            package["features"].as_object().is_some_and(|features| !features.is_empty()).then_some(true),
            "{name}"
        );
    }
}

#[test]
fn each_package_has_its_code_its_licenses_and_its_readme() {
    for name in PUBLISHED {
        let listed = cargo(&["--offline", "package", "--list", "--allow-dirty", "--package", name]);
        let listed = listed.lines().filter(|file| !file.starts_with("src/"));
        assert_eq!(listed.collect::<BTreeSet<_>>(), FILES.into(), "{name}");
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let read = |folder| fs::read_to_string(root().join(folder).join(license)).expect("a license");
            assert_eq!(read(name), read("."), "{name}");
        }
    }
}

#[test]
fn dependencies_have_licenses_that_bind_no_user() {
    for package in METADATA.packages.values() {
        let license = package["license"].as_str().unwrap_or("none");
        assert!(is_accepted(license), "{}: {license}", package["name"]);
    }
}

#[test]
fn a_license_is_accepted_if_one_of_its_alternatives_is() {
    for (license, accepted) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-2.0-only OR Apache-2.0", true),
        ("(MIT OR GPL-2.0-only) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR MPL-2.0", true),
        ("GPL-2.0-only", false),
        ("MIT AND GPL-2.0-only", false),
        ("(MIT OR Apache-2.0) AND GPL-2.0-only", false),
        ("none", false),
    ] {
        assert_eq!(is_accepted(license), accepted, "{license}");
    }
}

#[test]
fn dependencies_come_from_the_registry() {
    for package in METADATA.packages.values() {
        let source = package["source"].as_str();
        let is_ours = text(&package["manifest_path"]).starts_with(&*root().to_string_lossy());
        assert!(source == Some(REGISTRY) || (source.is_none() && is_ours), "{}: {source:?}", package["name"]);
    }
}

#[test]
fn a_program_gets_no_dependency_of_the_toolkit_in_two_versions() {
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for package in METADATA.dependencies("thegiant") {
        versions.entry(text(&package["name"])).or_default().insert(text(&package["version"]));
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert_eq!(versions.into_keys().collect::<BTreeSet<_>>(), DUPLICATES.into());
}

/// Clippy checks the functions of std that our own code calls (`incompatible_msrv`).
#[test]
fn no_dependency_needs_a_later_rust_than_the_crate_that_depends_on_it() {
    for member in METADATA.members() {
        let (name, ours) = (text(&member["name"]), rust_version(member));
        for package in METADATA.dependencies(name) {
            let theirs = rust_version(package);
            assert!(theirs <= ours, "{name} needs Rust {ours:?}, but {} needs {theirs:?}", package["name"]);
        }
    }
}

#[test]
fn the_readme_and_the_template_state_the_oldest_rust() {
    let read = |path| fs::read_to_string(root().join(path)).expect("a text");
    let (readme, template) = (read("README.md"), read("template/Cargo.toml"));
    let stated = |name| {
        let member = METADATA.members().find(|member| member["name"] == name).expect("a member");
        text(&member["rust_version"])
    };
    let ours = stated("thegiant");
    assert!(readme.contains(&format!("needs Rust {ours} or later")), "{ours}");
    assert!(template.contains(&format!("rust-version = \"{ours}\"")), "{ours}");
    for member in METADATA.members().filter(|member| member["rust_version"] != ours) {
        let name = text(&member["name"]);
        let is_program = fs::exists(root().join("apps").join(name).join("src/main.rs")).expect("a folder");
        let version = stated(name);
        assert!(
            !is_program || readme.replace("needs ", "").contains(&format!("`{name}` {version}")),
            "the README does not say that {name} needs Rust {version}"
        );
    }
}

/// The workspace and its dependencies, from Cargo.
static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    // Not offline: the packages of other systems are not on this machine before.
    let json = cargo(&["metadata", "--locked", "--format-version", "1", "--all-features"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let by_id = |values: &Value| {
        let values = values.as_array().expect("an array").iter();
        values.map(|value| (text(&value["id"]).to_owned(), value.clone())).collect()
    };
    Metadata { packages: by_id(&json["packages"]), nodes: by_id(&json["resolve"]["nodes"]) }
});

struct Metadata {
    packages: BTreeMap<String, Value>,
    nodes: BTreeMap<String, Value>,
}

impl Metadata {
    /// The packages of the workspace.
    fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages.values().filter(|package| package["source"].is_null())
    }

    /// The packages that a user of a member compiles, with the member, on any system.
    fn dependencies(&self, member: &str) -> Vec<&Value> {
        let member = self.members().find(|package| package["name"] == member).expect("a member");
        let mut found = BTreeSet::from([text(&member["id"])]);
        let mut new = vec![text(&member["id"])];
        while let Some(id) = new.pop() {
            let dependencies = self.nodes[id]["deps"].as_array().expect("an array").iter();
            let is_built = |kinds: &Value| {
                kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
            };
            for dependency in dependencies.filter(|dependency| is_built(&dependency["dep_kinds"])) {
                let id = text(&dependency["pkg"]);
                if found.insert(id) {
                    new.push(id);
                }
            }
        }
        found.into_iter().map(|id| &self.packages[id]).collect()
    }
}

/// Returns whether a user can choose accepted licenses. In an expression, parentheses are around alternatives.
fn is_accepted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some((alternatives, rest)) = expression.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        let rest = rest.trim().strip_prefix("AND ");
        return is_accepted(alternatives) && rest.is_none_or(is_accepted);
    }
    let is_accepted = |license: &str| LICENSES.contains(&license.trim());
    expression.split(" OR ").any(|alternative| alternative.split(" AND ").all(is_accepted))
}

/// Returns the version of Rust that a package needs, as numbers, or 0 if it names none.
fn rust_version(package: &Value) -> (u32, u32) {
    let version = package["rust_version"].as_str().unwrap_or("0.0");
    let mut numbers = version.split('.').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a major version"), numbers.next().unwrap_or(0))
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
