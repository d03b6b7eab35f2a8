//! The route map: which paths stand for which of the team's resources and actions.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::{EntityTypeName, EntityUid};

use super::names;
use crate::request::Method;

/// All routes, and what else `routes.toml` says.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Lower-case names of the headers that policies may read. Sorted.
    pub(super) context_headers: Vec<String>,
    /// Routes by number of segments, the most specific first.
    by_length: BTreeMap<usize, Vec<Route>>,
}

/// One route.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) template: Template,
    /// The type of the entity and which segment is its id.
    pub(super) resource: Option<(EntityTypeName, usize)>,
    /// Names of actions, where they are not the method's own.
    pub(super) actions: BTreeMap<Method, String>,
    /// The scopes a denied caller is told about.
    pub(super) scopes: BTreeMap<Method, Vec<String>>,
    /// The longest a signed URL may last, in seconds.
    pub(super) link_seconds: Option<i64>,
}

/// A path template: literal segments and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(pub(super) Vec<Segment>);

/// One segment of a template. Literals come first in the order, so that they are tried first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Parameter(String),
}

/// A template without the names of its parameters: two routes of the same shape match the same paths. In its order a
/// literal comes before a parameter at the first difference.
pub(super) type Shape = Vec<(bool, String)>;

impl Routes {
    /// A map of routes with different shapes.
    pub(super) fn new(context_headers: Vec<String>, routes: impl IntoIterator<Item = Route>) -> Self {
        let mut by_length: BTreeMap<usize, Vec<Route>> = BTreeMap::new();
        for route in routes {
            by_length.entry(route.template.0.len()).or_default().push(route);
        }
        by_length.values_mut().for_each(|routes| routes.sort_by_cached_key(|route| route.template.shape()));
        Self { context_headers, by_length }
    }

    /// The most specific route that matches these decoded segments.
    pub(super) fn find(&self, segments: &[String]) -> Option<&Route> {
        self.by_length.get(&segments.len())?.iter().find(|route| route.template.matches(segments))
    }

    /// Every route.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.by_length.values().flatten()
    }
}

impl Route {
    /// The entity a path that matches stands for.
    pub(super) fn entity(&self, segments: &[String]) -> Option<EntityUid> {
        let (of, index) = self.resource.as_ref()?;
        Some(names::uid(of, segments.get(*index)?))
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or_else(|| format!("`{text}` does not start with `/`"))?;
        if rest.is_empty() {
            return Ok(Self(vec![]));
        }
        let segments: Vec<Segment> = rest.split('/').map(|part| segment(text, part)).collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::parameter).collect();
        names.sort_unstable();
        match names.windows(2).find_map(|pair| if let [a, b] = pair { (a == b).then_some(*a) } else { None }) {
            Some(twice) => Err(format!("`{text}` has the parameter `{{{twice}}}` twice")),
            None => Ok(Self(segments)),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        let one = |segment: &Segment| match segment {
            Segment::Literal(text) => (false, text.clone()),
            Segment::Parameter(_) => (true, String::new()),
        };
        self.0.iter().map(one).collect()
    }

    /// Which segment names the entity: the parameter `{id}`, else the only one.
    ///
    /// # Errors
    /// There is none, or it is not clear which.
    pub(super) fn id_segment(&self) -> Result<usize, &'static str> {
        let parameters: Vec<(usize, &str)> =
            self.0.iter().enumerate().filter_map(|(at, segment)| segment.parameter().map(|name| (at, name))).collect();
        match *parameters {
            [] => Err("no parameter names the entity"),
            [(at, _)] => Ok(at),
            _ => {
                parameters.iter().find(|(_, name)| *name == "id").map(|(at, _)| *at).ok_or("more than one parameter could name the entity")
            }
        }
    }

    /// Segments that match.
    pub(super) fn sample(&self) -> Vec<String> {
        let one = |segment: &Segment| match segment {
            Segment::Literal(text) | Segment::Parameter(text) => text.clone(),
        };
        self.0.iter().map(one).collect()
    }

    fn matches(&self, segments: &[String]) -> bool {
        self.0.len() == segments.len()
            && self.0.iter().zip(segments).all(|(segment, found)| match segment {
                Segment::Literal(text) => text == found,
                Segment::Parameter(_) => !found.is_empty(),
            })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl Segment {
    fn parameter(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) => Some(name),
        }
    }
}

/// What is wrong with the path of a route, or `None` when it can be one.
#[cfg(feature = "cli")]
pub(crate) fn route_problem(path: &str) -> Option<String> {
    Template::parse(path).err()
}

fn segment(template: &str, part: &str) -> Result<Segment, String> {
    if let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        if first && name.len() <= 64 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Ok(Segment::Parameter(name.to_owned()));
        }
        return Err(format!("`{part}` in `{template}` is not a parameter: `{{name}}` with lower-case letters, digits and `_`"));
    }
    match unreachable_segment(part) {
        Some(why) => Err(format!("no request has the path `{template}`: {why}")),
        None if part.contains(['{', '}', '*']) => Err(format!("`{part}` in `{template}`: a parameter is a whole segment, `{{name}}`")),
        None => Ok(Segment::Literal(part.to_owned())),
    }
}

/// Why no canonical, decoded path has this segment, or `None` when one can.
pub(super) fn unreachable_segment(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        return Some("a segment is empty, or there is a `/` at the end");
    }
    if segment == "." || segment == ".." {
        return Some("`.` and `..` are never segments");
    }
    if segment.contains('%') {
        return Some("paths are written decoded here, and `%` is never part of one");
    }
    if segment.contains(['?', '#', ';', '\\']) || segment.contains(char::is_control) {
        return Some("a path never has `?`, `#`, `;`, a backslash or a control character");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(templates: &[&str]) -> Routes {
        let route = |text: &&str| Route {
            template: Template::parse(text).unwrap(),
            resource: None,
            actions: BTreeMap::new(),
            scopes: BTreeMap::new(),
            link_seconds: None,
        };
        Routes::new(vec![], templates.iter().map(route))
    }

    fn found(routes: &Routes, path: &str) -> Option<Shape> {
        let segments: Vec<String> = path.split('/').skip(1).filter(|s| !s.is_empty()).map(str::to_owned).collect();
        routes.find(&segments).map(|route| route.template.shape())
    }

    fn shape(text: &str) -> Option<Shape> {
        Some(Template::parse(text).unwrap().shape())
    }

    #[test]
    fn a_literal_beats_a_parameter_at_the_first_difference() {
        let map = routes(&["/a/{x}/c", "/a/b/{y}", "/{z}/b/c", "/a/b", "/"]);
        assert_eq!(found(&map, "/a/b/c"), shape("/a/b/{y}"));
        assert_eq!(found(&map, "/a/x/c"), shape("/a/{x}/c"));
        assert_eq!(found(&map, "/x/b/c"), shape("/{z}/b/c"));
        assert_eq!(found(&map, "/a/b"), shape("/a/b"));
        assert_eq!(found(&map, "/"), shape("/"));
        assert_eq!(found(&map, "/a/x/d"), None);
        assert_eq!(found(&map, "/a"), None);
        assert_eq!(found(&map, "/A/b"), None);
    }

    #[test]
    fn templates_that_no_request_can_match_are_refused() {
        for good in ["/", "/a", "/a/{id}", "/{tenant}/b/{id}", "/a b/ä", "/~x/y.z"] {
            assert!(Template::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "//",
            "/a/",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a%20b",
            "/a?b",
            "/a;b",
            "/a\\b",
            "/a\u{7}",
            "/{A}",
            "/{}",
            "/x{id}",
            "/{id}x",
            "/{id}/{id}",
            "/*",
            "/{9}",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_parameter_names_the_entity() {
        let at = |text: &str| Template::parse(text).unwrap().id_segment();
        assert_eq!(at("/a/{doc}"), Ok(1));
        assert_eq!(at("/{tenant}/b/{id}"), Ok(2));
        assert!(at("/{tenant}/b/{doc}").is_err());
        assert!(at("/a").is_err());
    }
}
