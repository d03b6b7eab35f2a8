//! Stand-in.
use std::path::Path;

use miette::IntoDiagnostic;

use crate::bundle::Bundle;

pub fn read_bundle(policies: &Path, keys: &Path, dev: bool) -> miette::Result<Bundle> {
    let mut bundle = Bundle::default();
    walk(policies, "policies", dev, &mut bundle)?;
    walk(keys, "keys", dev, &mut bundle)?;
    Ok(bundle)
}

fn walk(folder: &Path, name: &str, dev: bool, bundle: &mut Bundle) -> miette::Result<()> {
    for entry in std::fs::read_dir(folder).into_diagnostic()? {
        let entry = entry.into_diagnostic()?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{file}");
        if file.starts_with('.') || file.ends_with(".md") || path == "policies/tests" || (path == "keys/dev" && !dev) {
            continue;
        }
        if entry.path().is_dir() {
            walk(&entry.path(), &path, dev, bundle)?;
        } else {
            bundle.insert(path, std::fs::read(entry.path()).into_diagnostic()?);
        }
    }
    Ok(())
}
