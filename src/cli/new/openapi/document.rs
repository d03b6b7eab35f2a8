//! A description of an API, read as far as routes and policies need it.
//!
//! Tolerant by design: what is odd in a description is told and left out, and the rest is used. Only local references are followed.

use std::collections::{BTreeMap, BTreeSet};

use miette::miette;
use serde_json::Value;

use crate::request::Method;

/// How many references in a row are followed.
const REFERENCES: usize = 8;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// In the order of paths, then methods.
    pub(super) operations: Vec<Operation>,
    /// What was left out, and why.
    pub(super) warnings: Vec<String>,
}

/// One operation, in the words of the description.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// The template with the base path of the server before it.
    pub(super) path: String,
    pub(super) id: Option<String>,
    /// The first tag.
    pub(super) tag: Option<String>,
    pub(super) summary: Option<String>,
    /// Scopes of OAuth that it asks for.
    pub(super) scopes: Vec<String>,
    /// Whether it says itself that it needs no credential.
    pub(super) public: bool,
}

/// Reads JSON or YAML.
///
/// # Errors
/// When it is neither, or no OpenAPI 3.
pub(super) fn read(text: &str) -> miette::Result<Document> {
    let root = parse(text)?;
    let version = match root.get("openapi") {
        Some(Value::String(version)) => version.clone(),
        // `openapi: 3.1` without quotes is a number in YAML.
        Some(Value::Number(version)) => version.to_string(),
        _ if root.get("swagger").is_some() => {
            return Err(miette!(help = "convert it to OpenAPI 3 first", "it is Swagger 2, which is not read"));
        }
        _ => return Err(miette!(help = "it begins with `openapi: 3.…`", "it is no description of an API in OpenAPI")),
    };
    if version != "3" && !version.starts_with("3.") {
        return Err(miette!(help = "3.0 and 3.1 are read", "it is OpenAPI {version}, which is not read"));
    }
    let mut reader = Reader { root: &root, found: Document::default() };
    reader.paths();
    if reader.found.operations.is_empty() {
        return Err(miette!(help = "`paths` has none that could be used", "it has no operations"));
    }
    Ok(reader.found)
}

fn parse(text: &str) -> miette::Result<Value> {
    let text = text.trim_start_matches('\u{feff}');
    // JSON is YAML too, nearly; its own parser is quicker and says better what is wrong.
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let first = error.to_string();
        miette!("it is neither JSON nor YAML: {}", first.lines().next().unwrap_or_default())
    })
}

struct Reader<'a> {
    root: &'a Value,
    found: Document,
}

impl<'a> Reader<'a> {
    fn warn(&mut self, message: String) {
        self.found.warnings.push(message);
    }

    fn paths(&mut self) {
        let base = self.base();
        let root = self.root;
        for (path, item) in root.get("paths").and_then(Value::as_object).into_iter().flatten() {
            if path.starts_with("x-") {
                continue;
            }
            let Some(item) = self.follow(item) else {
                self.warn(format!("`{path}` is left out: its reference leads nowhere in this file"));
                continue;
            };
            if item.get("servers").is_some() {
                self.warn(format!("`{path}` has servers of its own, which are not looked at"));
            }
            for (name, operation) in item.as_object().into_iter().flatten() {
                let upper = name.to_ascii_uppercase();
                match Method::from_name(&upper).filter(|_| *name == name.to_ascii_lowercase()) {
                    Some(method) => self.operation(&format!("{base}{path}"), method, operation),
                    None if matches!(name.as_str(), "trace" | "query") => {
                        self.warn(format!("{upper} {path} is left out: the gate lets no such request through"));
                    }
                    None => {}
                }
            }
        }
    }

    fn operation(&mut self, path: &str, method: Method, operation: &Value) {
        let text =
            |name: &str| operation.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let tags = operation.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let own = operation.get("security").and_then(Value::as_array);
        let empty = |requirement: &Value| requirement.as_object().is_some_and(serde_json::Map::is_empty);
        let public = own.is_some_and(|own| own.iter().all(empty));
        let found = Operation {
            method,
            path: path.to_owned(),
            id: text("operationId"),
            tag: tags.map(str::trim).find(|tag| !tag.is_empty()).map(str::to_owned),
            summary: text("summary"),
            scopes: self.scopes(operation),
            public,
        };
        self.found.operations.push(found);
    }

    /// The scopes of the first way to be let in that has any.
    fn scopes(&self, operation: &Value) -> Vec<String> {
        let security = operation.get("security").or_else(|| self.root.get("security"));
        let schemes = self.root.pointer("/components/securitySchemes");
        let oauth = |name: &str| {
            let scheme = schemes.and_then(|schemes| self.follow(schemes.get(name)?));
            matches!(scheme.and_then(|scheme| scheme.get("type")?.as_str()), Some("oauth2" | "openIdConnect"))
        };
        for requirement in security.and_then(Value::as_array).into_iter().flatten() {
            let named = requirement.as_object().into_iter().flatten().filter(|(name, _)| oauth(name));
            let scopes: BTreeSet<&str> =
                named.flat_map(|(_, scopes)| scopes.as_array().into_iter().flatten()).filter_map(Value::as_str).collect();
            // What routes.toml takes: RFC 6749, section 3.3.
            let token = |scope: &&str| !scope.is_empty() && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
            let scopes: Vec<String> = scopes.into_iter().filter(token).take(16).map(str::to_owned).collect();
            if !scopes.is_empty() {
                return scopes;
            }
        }
        vec![]
    }

    /// What a value is, or what it refers to in this file.
    fn follow(&self, value: &'a Value) -> Option<&'a Value> {
        let mut value = value;
        for _ in 0..REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Some(value) };
            value = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    /// The path every template is below: that of the first server.
    fn base(&mut self) -> String {
        let servers: Vec<String> = self.root.get("servers").and_then(Value::as_array).into_iter().flatten().filter_map(base_of).collect();
        let Some(first) = servers.first().cloned() else { return String::new() };
        if servers.iter().any(|other| *other != first) {
            self.warn(format!("the servers have different base paths: `{}` is used", if first.is_empty() { "/" } else { &first }));
        }
        first
    }
}

/// The path of a server's URL, without `/` at its end.
fn base_of(server: &Value) -> Option<String> {
    let mut url = server.get("url")?.as_str()?.to_owned();
    let variables: BTreeMap<&str, &str> = server
        .get("variables")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, variable)| Some((name.as_str(), variable.get("default")?.as_str()?)))
        .collect();
    for (name, default) in variables {
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url.as_str(),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    Some(if path.is_empty() || path == "." { String::new() } else { format!("/{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        read(text).unwrap()
    }

    #[test]
    fn json_and_yaml_are_the_same() {
        let json = r#"{"openapi": "3.0.3", "paths": {"/a": {"get": {"operationId": "x", "responses": {"200": {}}}}}}"#;
        let yaml = "openapi: 3.1\npaths:\n  /a:\n    get:\n      operationId: x\n      responses:\n        200: {}\n";
        for text in [json, yaml] {
            let [operation] = &*document(text).operations else { panic!("{text}") };
            assert_eq!((operation.method, operation.path.as_str(), operation.id.as_deref()), (Method::Get, "/a", Some("x")));
        }
    }

    #[test]
    fn what_is_no_openapi_3_is_refused() {
        for (text, message) in [
            ("{\"swagger\": \"2.0\"}", "Swagger 2"),
            ("openapi: 4.0.0\npaths: {}\n", "OpenAPI 4.0.0"),
            ("hello", "no description"),
            ("{", "neither JSON nor YAML"),
            ("openapi: 3.0.0\npaths: {}\n", "no operations"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn base_paths_come_from_servers() {
        for (server, base) in [
            (r#"{"url": "https://api.example.com/v1/"}"#, "/v1"),
            (r#"{"url": "https://api.example.com"}"#, ""),
            (r#"{"url": "/"}"#, ""),
            (r#"{"url": "/api/v3"}"#, "/api/v3"),
            (r#"{"url": "api"}"#, "/api"),
            (r#"{"url": "https://{host}/{base}", "variables": {"host": {"default": "x.example"}, "base": {"default": "v2"}}}"#, "/v2"),
        ] {
            let text = format!(r#"{{"openapi": "3.0.0", "servers": [{server}], "paths": {{"/a": {{"get": {{}}}}}}}}"#);
            assert_eq!(document(&text).operations[0].path, format!("{base}/a"), "{server}");
        }
    }

    #[test]
    fn references_scopes_and_oddities() {
        let found = document(
            r##"{"openapi": "3.1.0", "security": [{"oauth": ["read"]}],
                "components": {"securitySchemes": {"oauth": {"type": "oauth2"}, "key": {"type": "apiKey"}},
                               "pathItems": {"a": {"get": {"operationId": "a", "tags": [" pets ", "x"]}}}},
                "servers": [{"url": "/a"}, {"url": "/b"}],
                "paths": {"/a": {"$ref": "#/components/pathItems/a"}, "/b": {"$ref": "other.yaml#/b"}, "x-more": {"get": {}},
                          "/c": {"parameters": [{"$ref": "#/components/parameters/none"}], "trace": {}, "post": {"security": []},
                                 "put": {"security": [{"key": ["no"]}, {"oauth": ["write", "b ad"]}]}}}}"##,
        );
        let shown: Vec<_> =
            found.operations.iter().map(|o| (o.path.as_str(), o.method, o.tag.as_deref(), o.scopes.join(" "), o.public)).collect();
        assert_eq!(
            shown,
            [
                ("/a/a", Method::Get, Some("pets"), "read".to_owned(), false),
                ("/a/c", Method::Post, None, String::new(), true),
                ("/a/c", Method::Put, None, "write".to_owned(), false),
            ]
        );
        assert_eq!(found.warnings.len(), 3, "{:?}", found.warnings);
    }
}
