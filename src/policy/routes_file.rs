//! Reading `routes.toml`: every problem at once, each with its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnose;
use super::names;
use super::routes::{Route, Routes, Shape, Template};
use super::schema::{Loaded, method_group};
use super::statics::reserved;
use super::store::same;
use crate::bundle::{Bundle, Problem, Report, nearest};
use crate::limits;
use crate::request::Method;

/// Path in a bundle.
pub(super) const FILE: &str = "policies/routes.toml";

type Value<'a> = Spanned<DeValue<'a>>;
type Key<'a> = Spanned<Cow<'a, str>>;

/// Reads the file; a bundle without it has no routes.
pub(super) fn load(bundle: &Bundle, schema: &Loaded, report: &mut Report) -> Routes {
    let Some(text) = diagnose::text(bundle, FILE, report) else { return Routes::default() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.add(Problem::new(FILE, "routes.syntax", error.message().replace('\n', ", ")).at(error.span()));
    }
    if !errors.is_empty() {
        return Routes::default();
    }
    let mut reader = Reader { schema, report, shapes: BTreeMap::new() };
    reader.file(&table)
}

/// Refuses headers that policies may read and `keys/mtls.toml` has for itself.
///
/// SECURITY: what the terminator proves itself with must not reach a policy, whose evaluation errors are recorded; and a
/// certificate counts only after it verified.
pub(super) fn check_headers<'f>(bundle: &Bundle, headers: &[String], own: impl Iterator<Item = &'f str>, report: &mut Report) {
    let text = bundle.get(FILE).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    for own in own.map(str::to_ascii_lowercase) {
        for name in headers.iter().filter(|name| same(name, &own)) {
            let message = format!("policies may not read `{name}`: it is a field of keys/mtls.toml");
            let help = "the gate gives a certificate that verified as `context.certificate`";
            report.add(Problem::new(FILE, "routes.header", message).at(diagnose::find(text, &format!("\"{name}\""))).help(help));
        }
    }
}

struct Reader<'a> {
    schema: &'a Loaded,
    report: &'a mut Report,
    /// Shapes seen, with the template that has it.
    shapes: BTreeMap<Shape, String>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, code: &'static str, message: impl Into<String>) {
        self.report.add(Problem::new(FILE, code, message).at(Some(span)));
    }

    fn helped(&mut self, span: Range<usize>, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.report.add(Problem::new(FILE, code, message).at(Some(span)).help(help));
    }

    /// A key that is none of `known`.
    fn unknown(&mut self, key: &Key<'_>, code: &'static str, what: &str, known: &[&str]) {
        let help = match nearest(key.get_ref(), known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: `{}`", known.join("`, `")),
        };
        self.helped(key.span(), code, format!("unknown {what} `{}`", key.get_ref()), help);
    }

    fn file(&mut self, table: &Spanned<DeTable<'_>>) -> Routes {
        let (mut headers, mut routes, mut version) = (vec![], vec![], false);
        for (key, value) in table.get_ref() {
            match &**key.get_ref() {
                "version" => {
                    version = true;
                    let right = value.get_ref().as_integer().is_some_and(|number| number.radix() == 10 && number.as_str() == "1");
                    if !right {
                        self.problem(value.span(), "routes.version", "`version` is not `1`, the only version this gate reads");
                    }
                }
                "context_headers" => headers = self.headers(value),
                "route" => routes = self.routes(value),
                _ => self.unknown(key, "routes.unknown_key", "key", &["version", "context_headers", "route"]),
            }
        }
        if !version {
            self.helped(0..0, "routes.version", "`version` is missing", "start the file with `version = 1`");
        }
        Routes::new(headers, routes)
    }

    fn headers(&mut self, value: &Value<'_>) -> Vec<String> {
        let mut headers = vec![];
        for (name, span) in self.strings(value, "context_headers", limits::CONTEXT_HEADERS) {
            if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b)) || name.is_empty() {
                self.problem(span, "routes.header", format!("`{name}` is not the name of a header in lower case"));
            } else if let Some(why) = refused_header(&name) {
                self.problem(span, "routes.header", format!("policies may not read `{name}`: {why}"));
            } else if headers.contains(&name) {
                self.problem(span, "routes.header", format!("`{name}` occurs twice"));
            } else {
                headers.push(name);
            }
        }
        headers.sort();
        headers
    }

    fn routes(&mut self, value: &Value<'_>) -> Vec<Route> {
        let Some(array) = value.get_ref().as_array() else {
            self.helped(value.span(), "routes.value", "`route` is not an array of tables", "write `[[route]]`");
            return vec![];
        };
        if array.len() > limits::ROUTES {
            self.problem(value.span(), "routes.too_many", format!("more than {} routes", limits::ROUTES));
        }
        array.iter().filter_map(|route| self.route(route)).collect()
    }

    fn route(&mut self, value: &Value<'_>) -> Option<Route> {
        let Some(table) = value.get_ref().as_table() else {
            self.problem(value.span(), "routes.value", "a route is not a table");
            return None;
        };
        let (mut path, mut resource, mut actions, mut scopes) = (None, None, BTreeMap::new(), BTreeMap::new());
        let mut link_seconds = None;
        for (key, value) in table {
            match &**key.get_ref() {
                "path" => path = self.string(value, "path"),
                "resource" => resource = self.string(value, "resource"),
                "actions" => actions = self.actions(value),
                "scopes" => scopes = self.scopes(value),
                "max_link_seconds" => link_seconds = self.link_seconds(value),
                _ => self.unknown(key, "routes.unknown_key", "key", &["path", "resource", "actions", "scopes", "max_link_seconds"]),
            }
        }
        let Some((path, at)) = path else {
            if !table.keys().any(|key| key.get_ref() == "path") {
                self.problem(value.span(), "routes.path", "a route without `path`");
            }
            return None;
        };
        let template = match Template::parse(&path) {
            Ok(template) => template,
            Err(message) => {
                self.problem(at, "routes.path", message);
                return None;
            }
        };
        if let Some(other) = self.shapes.insert(template.shape(), path.clone()) {
            self.problem(at.clone(), "routes.ambiguous", format!("`{path}` matches the same paths as `{other}`"));
        }
        let resource = match resource {
            Some((name, span)) => Some(self.resource(&name, &span, &template)?),
            None => None,
        };
        self.applicable(&path, &at, resource.as_ref().map(|(of, _)| of), &actions);
        let actions = actions.into_iter().map(|(method, (name, _))| (method, name)).collect();
        Some(Route { template, resource, actions, scopes, link_seconds })
    }

    fn resource(&mut self, name: &str, span: &Range<usize>, template: &Template) -> Option<(cedar_policy::EntityTypeName, usize)> {
        if reserved(name) {
            self.problem(span.clone(), "routes.resource", format!("`{name}` is one of the gate's own types and cannot be a resource"));
            return None;
        }
        let Some(of) = names::type_name(name).filter(|of| self.schema.types.contains(of)) else {
            let known: Vec<String> = self.schema.types.iter().map(|of| of.basename().to_owned()).filter(|name| !reserved(name)).collect();
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare `entity {name} in [Path];` in namespace Gate of the schema"),
            };
            self.helped(span.clone(), "routes.resource", format!("the schema has no entity type `Gate::{name}`"), help);
            return None;
        };
        if let Err(error) = self.schema.accepts_resource(&of) {
            let help = "a resource type is `in [Path]`, and all its attributes are optional: the gate also asks about ids that entities.json does not know";
            self.helped(span.clone(), "schema.resource", format!("the gate cannot make a `{of}`: {error}"), help);
        }
        match template.id_segment() {
            Ok(index) => Some((of, index)),
            Err(message) => {
                self.helped(span.clone(), "routes.id", message, "call the segment that names the entity `{id}`");
                None
            }
        }
    }

    fn actions(&mut self, value: &Value<'_>) -> BTreeMap<Method, (String, Range<usize>)> {
        let mut actions = BTreeMap::new();
        for (method, value) in self.by_method(value, "actions") {
            let Some((name, span)) = self.string(&value, "an action") else { continue };
            let Some(action) = self.schema.actions.get(&name) else {
                let known = self.schema.actions.keys().map(String::as_str);
                let help = nearest(&name, known)
                    .map_or("declare it in namespace Gate of the schema".to_owned(), |n| format!("did you mean `{n}`?"));
                self.helped(span, "routes.action", format!("the schema has no action `{name}`"), help);
                continue;
            };
            let group = method_group(method);
            if !action.groups.contains(group) {
                // SECURITY: or a rule about "write" would not hold for it.
                let help = format!("declare it `in [\"{group}\"]`, so that rules about `{group}` hold for it");
                self.helped(
                    span,
                    "routes.action_group",
                    format!("the action `{name}` stands for {} but is not in `{group}`", method.as_str()),
                    help,
                );
                continue;
            }
            actions.insert(method, (name, span));
        }
        actions
    }

    /// Every action that this route can lead to must be declared for its resource.
    fn applicable(
        &mut self,
        path: &str,
        at: &Range<usize>,
        resource: Option<&cedar_policy::EntityTypeName>,
        actions: &BTreeMap<Method, (String, Range<usize>)>,
    ) {
        let Some(of) = resource.cloned().or_else(|| names::type_name("Path")) else { return };
        let mut missing = vec![];
        for method in Method::ALL {
            let (name, span) = actions.get(&method).map_or((method.as_str(), at), |(name, span)| (name, span));
            if self.schema.actions.get(name).is_none_or(|action| action.resources.contains(&of)) {
                continue;
            }
            if actions.contains_key(&method) {
                let help = format!("add `{}` to its `resource` list in the schema", of.basename());
                self.helped(span.clone(), "routes.not_applicable", format!("the action `{name}` does not apply to `{of}`"), help);
            } else {
                missing.push(name);
            }
        }
        if !missing.is_empty() {
            let message = format!("`{path}` is a `{of}`, but the actions `{}` do not apply to it", missing.join("`, `"));
            let help = format!("add `{}` to their `resource` lists in the schema", of.basename());
            self.helped(at.clone(), "routes.not_applicable", message, help);
        }
    }

    fn scopes(&mut self, value: &Value<'_>) -> BTreeMap<Method, Vec<String>> {
        let mut scopes = BTreeMap::new();
        for (method, value) in self.by_method(value, "scopes") {
            let mut named = vec![];
            for (scope, span) in self.strings(&value, "scopes", 16) {
                // RFC 6749, section 3.3.
                let token = !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
                if token && !named.contains(&scope) {
                    named.push(scope);
                } else {
                    self.problem(span, "routes.scope", format!("`{scope}` is not a scope, or occurs twice"));
                }
            }
            scopes.insert(method, named);
        }
        scopes
    }

    fn link_seconds(&mut self, value: &Value<'_>) -> Option<i64> {
        let number = value.get_ref().as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let seconds = number.filter(|seconds| (1..=limits::LINK_SECONDS).contains(seconds));
        if seconds.is_none() {
            self.problem(
                value.span(),
                "routes.value",
                format!("`max_link_seconds` is not a whole number from 1 to {}", limits::LINK_SECONDS),
            );
        }
        seconds
    }

    fn by_method<'v>(&mut self, value: &Value<'v>, what: &str) -> Vec<(Method, Value<'v>)> {
        let Some(table) = value.get_ref().as_table() else {
            self.helped(value.span(), "routes.value", format!("`{what}` is not a table"), format!("write `{what} = {{ POST = … }}`"));
            return vec![];
        };
        let mut found = vec![];
        for (key, value) in table {
            match Method::from_name(key.get_ref()) {
                Some(method) => found.push((method, value.clone())),
                None => self.unknown(key, "routes.method", "method", &Method::ALL.map(Method::as_str)),
            }
        }
        found
    }

    fn string(&mut self, value: &Value<'_>, what: &str) -> Option<(String, Range<usize>)> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.problem(value.span(), "routes.value", format!("`{what}` is not a string"));
        }
        Some((text?, value.span()))
    }

    fn strings(&mut self, value: &Value<'_>, what: &str, most: usize) -> Vec<(String, Range<usize>)> {
        let Some(array) = value.get_ref().as_array() else {
            self.problem(value.span(), "routes.value", format!("`{what}` is not an array of strings"));
            return vec![];
        };
        if array.len() > most {
            self.problem(value.span(), "routes.too_many", format!("`{what}` has more than {most} entries"));
        }
        array.iter().filter_map(|item| self.string(item, what)).collect()
    }
}

/// Why policies may not read a header.
///
/// SECURITY: credentials never reach a policy, whose evaluation errors are recorded; and what a caller can forge is told
/// apart from what the gate itself knows.
fn refused_header(name: &str) -> Option<&'static str> {
    if ["authorization", "proxy-authorization", "cookie", "set-cookie", "dpop"].contains(&name) {
        return Some("it holds a credential");
    }
    if name == "host" {
        return Some("the gate gives it as `context.host`");
    }
    let certificates = ["client-cert", "ssl-client-", "x-ssl-client-", "x-amzn-mtls-"];
    if certificates.iter().any(|prefix| name.starts_with(prefix)) {
        return Some("it holds a client certificate; the gate gives one that verified as `context.certificate`");
    }
    let own = ["spin-", "cedargate-", "x-forwarded-"];
    if own.iter().any(|prefix| name.starts_with(prefix)) || ["forwarded", "x-real-ip"].contains(&name) {
        return Some("a caller can forge it; the gate gives what is known as `context.client_ip` and `context.https`");
    }
    None
}
