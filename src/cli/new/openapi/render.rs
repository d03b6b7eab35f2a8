//! A plan, written down as files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::names::comment;
use super::plan::{Action, Plan, Route, Tag};
use crate::cli::new::{Files, project};
use crate::request::Method;

/// Every file of the project.
///
/// # Errors
/// Never, as long as the repository's schema has the parts that are changed.
pub(super) fn files(plan: &Plan) -> miette::Result<Files> {
    let types: Vec<String> = plan.types.keys().cloned().collect();
    let mut files = project::common(&readme(&plan.tags));
    files.insert("policies/schema.cedarschema".to_owned(), project::schema(&types, &declarations(plan), &actions(plan))?);
    files.insert("policies/routes.toml".to_owned(), routes(&plan.routes));
    files.insert("policies/entities.json".to_owned(), entities(&plan.tags));
    for tag in &plan.tags {
        files.insert(format!("policies/{}.cedar", tag.slug), policy(tag));
        files.insert(format!("policies/tests/{}.yaml", tag.slug), tests(tag));
    }
    Ok(files)
}

/// The group that may use a tag.
fn group(tag: &Tag) -> String {
    format!("{}-users", tag.slug)
}

/// A string as TOML, YAML and Cedar all read it: what goes in has no control characters.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn readme(tags: &[Tag]) -> String {
    let mut groups = "| group | may use |\n|---|---|\n".to_owned();
    for tag in tags {
        // A table takes neither `|` nor a line end.
        let _ = writeln!(groups, "| `{}` | {} |", group(tag), comment(&tag.name).replace(['|', '<', '`', '['], " "));
    }
    let first = tags.first().map(group).unwrap_or_default();
    include_str!("../template/README-openapi.md").replace("GROUPS\n", &groups).replace("FIRST", &first)
}

/// What an operation is, for a comment.
fn described(action: &Action) -> String {
    let summary = action.summary.as_deref().map(|summary| format!(": {}", comment(summary))).unwrap_or_default();
    format!("{} {}{summary}", action.method.as_str(), action.path)
}

fn declarations(plan: &Plan) -> String {
    let mut text = String::new();
    for (name, path) in &plan.types {
        let _ = write!(text, "  // {path}\n  entity {name} in [Path] = {{\n    owner?: User,\n  }};\n\n");
    }
    text
}

fn actions(plan: &Plan) -> String {
    let mut text = "\n  // One action for each operation of the API.\n".to_owned();
    for action in plan.tags.iter().flat_map(|tag| &tag.actions) {
        let group = if is_read(action.method) { "read" } else { "write" };
        let resource = action.resource.as_deref().unwrap_or("Path");
        let _ = write!(
            text,
            "\n  // {}\n  action {} in [\"{group}\"] appliesTo {{\n    principal: [User, Workload, Anonymous, SignedUrl],\n    \
             resource: [{resource}],\n    context: RequestContext,\n  }};\n",
            described(action),
            quoted(&action.name)
        );
    }
    text
}

fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Options)
}

fn routes(routes: &[Route]) -> String {
    let mut text = "# Which paths stand for which resources and actions. A path without a route is a plain Gate::Path.\n\
         # `{id}` names the resource: /pets/1 is Gate::Pet::\"1\". `scopes` is what a denied caller without them is told; Cedar decides.\n\
         version = 1\n"
        .to_owned();
    for route in routes {
        text.push('\n');
        if !route.others.is_empty() {
            let others = route.others.iter().map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "# `{{id}}` alone names the resource: is it unique across every {others}?");
        }
        let _ = writeln!(text, "[[route]]\npath = {}", quoted(&route.path));
        if let Some(resource) = &route.resource {
            let _ = writeln!(text, "resource = {}", quoted(resource));
        }
        let table = |entries: Vec<String>| format!("{{ {} }}", entries.join(", "));
        let actions = route.actions.iter().map(|(method, (name, _))| format!("{} = {}", method.as_str(), quoted(name))).collect();
        let _ = writeln!(text, "actions = {}", table(actions));
        let scopes: Vec<String> = route
            .actions
            .iter()
            .filter(|(_, (_, scopes))| !scopes.is_empty())
            .map(|(method, (_, scopes))| {
                format!("{} = [{}]", method.as_str(), scopes.iter().map(|scope| quoted(scope)).collect::<Vec<_>>().join(", "))
            })
            .collect();
        if !scopes.is_empty() {
            let _ = writeln!(text, "scopes = {}", table(scopes));
        }
    }
    text
}

/// Development tokens carry `dev/<group>`, and may be tried with. No other issuer's token can carry such a group.
fn entities(tags: &[Tag]) -> String {
    let of = |id: String| json!({ "type": "Gate::Group", "id": id });
    let entities: Vec<_> =
        tags.iter().map(|tag| json!({ "uid": of(format!("dev/{}", group(tag))), "attrs": {}, "parents": [of(group(tag))] })).collect();
    format!("{:#}\n", json!(entities))
}

fn policy(tag: &Tag) -> String {
    let (name, group) = (comment(&tag.name), group(tag));
    let mut text = format!("// {name}. Nobody is in the group yet: see README.md.\n//\n");
    for action in &tag.actions {
        let _ = writeln!(text, "//   {}  {}", action.name, described(action));
    }
    text.push('\n');
    text.push_str(&permit(
        tag,
        "users",
        &format!("members of {group} may use every operation of this tag"),
        &tag.actions.iter().collect::<Vec<_>>(),
        &format!("principal in Gate::Group::{}", quoted(&group)),
    ));
    let reads: Vec<&Action> = tag.actions.iter().filter(|action| is_read(action.method)).collect();
    if !reads.is_empty() && reads.len() < tag.actions.len() {
        let readers = format!("{}-readers", tag.slug);
        let suggested = permit(
            tag,
            "readers",
            &format!("members of {readers} may read"),
            &reads,
            &format!("principal in Gate::Group::{}", quoted(&readers)),
        );
        text.push_str(&suggestion("Who may only read:", &suggested));
    }
    let public: Vec<&Action> = tag.actions.iter().filter(|action| action.public).collect();
    if !public.is_empty() {
        let suggested = permit(tag, "public", "the description asks for no credential", &public, "principal");
        text.push_str(&suggestion(
            "The description asks for no credential here. To let everybody (a lint.unconstrained that policies/lints.toml then allows):",
            &suggested,
        ));
    }
    text
}

fn permit(tag: &Tag, rule: &str, reason: &str, actions: &[&Action], principal: &str) -> String {
    let names: Vec<String> = actions.iter().map(|action| format!("Gate::Action::{}", quoted(&action.name))).collect();
    format!(
        "@id(\"{}.{rule}\")\n@reason({})\npermit (\n  {principal},\n  action in [{}],\n  resource\n);\n",
        tag.slug,
        quoted(reason),
        names.join(", ")
    )
}

fn suggestion(what: &str, policy: &str) -> String {
    format!("\n// {what}\n{}", policy.lines().map(|line| format!("// {line}\n")).collect::<String>())
}

fn tests(tag: &Tag) -> String {
    let mut text = format!(
        "# Who may do what. Written as skeletons: nobody without a group may do anything. Add what should be allowed, for example\n\
         # with `groups: [{}]` and `expect: allow`.\nversion: 1\n\ntests:\n",
        group(tag)
    );
    let mut seen = BTreeSet::new();
    for action in &tag.actions {
        let path: Vec<&str> = action.path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment }).collect();
        let request = format!("{} {}", action.method.as_str(), path.join("/"));
        if seen.insert(request.clone()) {
            let _ = writeln!(
                text,
                "  - name: {}\n    request: {}\n    caller: {{ token: {{ issuer: dev, subject: alice, groups: [] }} }}\n    expect: deny",
                quoted(&format!("{} is for members only", action.name)),
                quoted(&request)
            );
        }
    }
    text
}
