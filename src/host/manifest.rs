//! `spin.toml`, version 2: as much of it as one HTTP component needs.
//!
//! What this host does not serve is an error and not silence: an application that would behave differently here than under
//! Spin must not start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::allowed::{AllowedHost, AllowedHosts};
pub use super::spin::Route;
use super::variables::{Template, name_problem};
use crate::bundle::nearest;

/// The prefix of environment variables that set application variables, as in Spin.
pub const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// Everything that is wrong with a manifest, or with the values for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    file: PathBuf,
    problems: Vec<String>,
}

impl ManifestError {
    /// The problems, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be used", self.file.display())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ManifestError {}

/// A manifest that was read and understood, without values for its variables.
#[derive(Debug)]
pub struct Manifest {
    file: PathBuf,
    name: String,
    version: String,
    route: Route,
    source: PathBuf,
    declared: BTreeMap<String, Variable>,
    variables: BTreeMap<String, Template>,
    environment: BTreeMap<String, String>,
    allowed: Vec<Template>,
    key_value_stores: BTreeSet<String>,
}

/// An application: a manifest with all values in place.
#[derive(Clone)]
pub struct App {
    /// The application's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The trigger's route.
    pub route: Route,
    /// The component's variables. They may be secrets: never print them.
    pub variables: BTreeMap<String, String>,
    /// The component's environment.
    pub environment: BTreeMap<String, String>,
    /// The hosts the component may reach.
    pub allowed: AllowedHosts,
    /// The key-value stores the component may open.
    pub key_value_stores: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spin_manifest_version: i64,
    application: Application,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: BTreeMap<String, Vec<Trigger>>,
    #[serde(default)]
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Value0,
    #[serde(default, rename = "tool")]
    _tool: Table,
    #[serde(default)]
    trigger: Table,
}

/// A value that Spin's tools read and this host does not.
type Value0 = Option<Value>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: Option<String>,
    #[serde(default, rename = "secret")]
    _secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    #[serde(default, rename = "id")]
    _id: String,
    route: Value,
    component: Value,
    executor: Option<Table>,
    components: Option<Value>,
    dependencies: Option<Value>,
    static_response: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    source: Value,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: BTreeSet<String>,
    #[serde(default, rename = "build")]
    _build: Value0,
    #[serde(default, rename = "tool")]
    _tool: Value0,
    #[serde(default, rename = "targets")]
    _targets: Value0,
    allowed_http_hosts: Option<Value>,
    files: Option<Value>,
    exclude_files: Option<Value>,
    sqlite_databases: Option<Value>,
    ai_models: Option<Value>,
    dependencies: Option<Value>,
    dependencies_inherit_configuration: Option<Value>,
    profile: Option<Value>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it or not served here.
    pub fn read(file: &Path) -> Result<Self, ManifestError> {
        let refuse = |problem: String| ManifestError { file: file.to_owned(), problems: vec![problem] };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
        Self::parse(file, &text)
    }

    /// The same of text that was read already. `file` is what paths in it are relative to.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &Path, text: &str) -> Result<Self, ManifestError> {
        let mut problems = Vec::new();
        let manifest = toml::from_str::<Document>(text)
            .map_err(|error| error.to_string().trim_end().replace('\n', "\n  "))
            .map(|document| document.check(file, &mut problems));
        match manifest {
            Ok(Some(manifest)) if problems.is_empty() => Ok(manifest),
            Ok(_) => Err(ManifestError { file: file.to_owned(), problems }),
            Err(problem) => Err(ManifestError { file: file.to_owned(), problems: vec![problem] }),
        }
    }

    /// The component's file.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Puts values in: `given` first, then `environment` by the name `SPIN_VARIABLE_<NAME>`, then the default.
    ///
    /// # Errors
    /// Every variable without a value, every unknown name in `given`, every host that cannot be read.
    pub fn resolve(&self, given: &BTreeMap<String, String>, environment: impl Fn(&str) -> Option<String>) -> Result<App, ManifestError> {
        let mut problems: Vec<String> = given
            .keys()
            .filter(|name| !self.declared.contains_key(*name))
            .map(|name| format!("the variable `{name}` is not declared{}", did_you_mean(name, self.declared.keys())))
            .collect();
        let mut values = BTreeMap::new();
        for (name, variable) in &self.declared {
            let key = format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase());
            let value = given.get(name).cloned().or_else(|| environment(&key)).or_else(|| variable.default.clone());
            match value {
                Some(value) => drop(values.insert(name.clone(), value)),
                None => problems.push(format!("the variable `{name}` has no value: give `--variable {name}=…` or set `{key}`")),
            }
        }
        let mut app = App {
            name: self.name.clone(),
            version: self.version.clone(),
            route: self.route.clone(),
            variables: BTreeMap::new(),
            environment: self.environment.clone(),
            allowed: AllowedHosts::default(),
            key_value_stores: self.key_value_stores.clone(),
        };
        // A variable without a value was reported above; its templates are not reported again.
        for (name, template) in &self.variables {
            if let Ok(value) = template.fill(&values) {
                app.variables.insert(name.clone(), value);
            }
        }
        app.allowed = self.hosts(&values, &mut problems);
        if problems.is_empty() { Ok(app) } else { Err(ManifestError { file: self.file.clone(), problems }) }
    }
}

impl Manifest {
    /// The hosts the component may reach, as far as the variables' defaults and `environment` tell.
    pub fn allowed(&self, environment: impl Fn(&str) -> Option<String>) -> AllowedHosts {
        let value = |(name, variable): (&String, &Variable)| {
            let set = environment(&format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase()));
            Some((name.clone(), set.or_else(|| variable.default.clone())?))
        };
        self.hosts(&self.declared.iter().filter_map(value).collect(), &mut Vec::new())
    }

    /// A host whose variables have no values is left out.
    fn hosts(&self, values: &BTreeMap<String, String>, problems: &mut Vec<String>) -> AllowedHosts {
        let mut allowed = AllowedHosts::default();
        for template in &self.allowed {
            match template.fill(values).as_deref() {
                // As in Spin, an optional endpoint that is empty is nobody.
                Err(_) | Ok("" | "http://" | "https://") => {}
                Ok(host) => match AllowedHost::parse(host) {
                    Ok(host) => allowed.push(host),
                    Err(problem) => problems.push(format!("allowed_outbound_hosts: {problem}")),
                },
            }
        }
        allowed
    }
}

impl Document {
    fn check(self, file: &Path, problems: &mut Vec<String>) -> Option<Manifest> {
        let Self { spin_manifest_version, application, variables: declared, trigger, mut component } = self;
        if spin_manifest_version != 2 {
            problems.push(format!("spin_manifest_version is {spin_manifest_version}, only version 2 is served"));
        }
        if !application.trigger.is_empty() {
            problems.push("[application.trigger] is not served here".into());
        }
        for (name, variable) in &declared {
            if let Some(problem) = name_problem(name) {
                problems.push(format!("variables.{name}: {problem}"));
            }
            if variable.required == variable.default.is_some() {
                problems.push(format!("variables.{name} needs either `required = true` or a default"));
            }
        }
        for other in trigger.keys().filter(|kind| *kind != "http") {
            problems.push(format!("[[trigger.{other}]] is not served here, only [[trigger.http]]"));
        }
        let mut triggers = trigger.into_iter().filter(|(kind, _)| kind == "http").flat_map(|(_, triggers)| triggers);
        let (Some(trigger), None) = (triggers.next(), triggers.next()) else {
            problems.push("exactly one [[trigger.http]] is served here".into());
            return None;
        };
        let (route, id) = trigger.check(problems)?;
        let known: Vec<_> = component.keys().cloned().collect();
        let Some(component) = component.remove(&id) else {
            problems.push(format!("the trigger's component `{id}` is not declared{}", did_you_mean(&id, known.iter())));
            return None;
        };
        let place = format!("component.{id}");
        component.unserved(&place, problems);
        let Value::String(source) = component.source else {
            problems.push(format!("{place}.source is not a file, which is all that is served here"));
            return None;
        };
        for name in component.variables.keys() {
            if let Some(problem) = name_problem(name) {
                problems.push(format!("{place}.variables.{name}: {problem}"));
            }
        }
        let mut template = |place: &str, text: &str| -> Option<Template> {
            let template = Template::parse(text).map_err(|problem| problems.push(format!("{place}: {problem}"))).ok()?;
            for name in template.names().filter(|name| !declared.contains_key(*name)) {
                let hint = did_you_mean(name, declared.keys());
                problems.push(format!("{place}: the variable `{name}` is not declared{hint}"));
            }
            // A host without variables can be checked now.
            if template.names().next().is_none()
                && place.ends_with("hosts")
                && let Err(problem) = AllowedHost::parse(text)
            {
                problems.push(format!("{place}: {problem}"));
            }
            Some(template)
        };
        let variables = component
            .variables
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), template(&format!("{place}.variables.{name}"), text)?)))
            .collect();
        let hosts = format!("{place}.allowed_outbound_hosts");
        let allowed = component.allowed_outbound_hosts.iter().filter_map(|text| template(&hosts, text)).collect();
        Some(Manifest {
            source: file.parent().unwrap_or(Path::new("")).join(source),
            file: file.to_owned(),
            name: application.name,
            version: application.version,
            route,
            declared,
            variables,
            environment: component.environment,
            allowed,
            key_value_stores: component.key_value_stores,
        })
    }
}

impl Trigger {
    fn check(self, problems: &mut Vec<String>) -> Option<(Route, String)> {
        let Self { _id, route, component, executor, components, dependencies, static_response } = self;
        let unserved = [("components", components), ("dependencies", dependencies), ("static_response", static_response)];
        for (key, _) in unserved.iter().filter(|(_, value)| value.is_some()) {
            problems.push(format!("trigger.http.{key} is not served here: use `spin up`"));
        }
        if executor.is_some_and(|executor| executor.get("type").and_then(Value::as_str) != Some("http")) {
            problems.push("trigger.http.executor is not of type `http`, which is all that is served here".into());
        }
        let route = route.as_str().ok_or("trigger.http.route is not text".to_owned()).and_then(Route::parse);
        let route = route.map_err(|problem| problems.push(problem)).ok();
        let Value::String(component) = component else {
            problems.push("trigger.http.component is not the id of a component".into());
            return None;
        };
        Some((route?, component))
    }
}

impl Component {
    fn unserved(&self, place: &str, problems: &mut Vec<String>) {
        for (key, present) in [
            ("allowed_http_hosts", self.allowed_http_hosts.is_some()),
            ("files", self.files.is_some()),
            ("exclude_files", self.exclude_files.is_some()),
            ("sqlite_databases", self.sqlite_databases.is_some()),
            ("ai_models", self.ai_models.is_some()),
            ("dependencies", self.dependencies.is_some()),
            ("dependencies_inherit_configuration", self.dependencies_inherit_configuration.is_some()),
            ("profile", self.profile.is_some()),
        ] {
            if present {
                problems.push(format!("{place}.{key} is not served here: use `spin up`"));
            }
        }
    }
}

/// ", did you mean `…`?" for a name that is one or two letters off.
fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    nearest(name, known.map(String::as_str)).map(|other| format!(", did you mean `{other}`?")).unwrap_or_default()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
