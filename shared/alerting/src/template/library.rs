//! The templates of receivers: texts of a configuration, and the named templates that they may call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::exec::{self, Named, World};
use super::parse::{self, Block, Node, Tree};
use super::{Data, Dialect, TemplateError, notice};

/// What the house brings along, under the names that Alertmanager gives them.
const STANDARD: [&str; 2] = [include_str!("standard.tmpl"), include_str!("standard_mail.tmpl")];

/// What a template prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// Text: nothing is escaped.
    Text,
    /// HTML: what an action prints is escaped as its place asks for.
    Html,
}

/// Named templates, which texts may call: those of the house, and those of files over them.
#[derive(Clone, Debug, PartialEq)]
pub struct Library {
    pub(super) named: BTreeMap<String, Arc<Named>>,
}

impl Library {
    /// The templates of the house: `slack.default.title`, `__subject` and the others that Alertmanager has.
    pub fn standard() -> Self {
        let mut library = Self { named: BTreeMap::new() };
        for text in STANDARD {
            library.add(text).expect("a test reads the templates of the house");
        }
        library
    }

    /// Takes in what a file defines; it takes the place of what had the same name, unless it is empty.
    ///
    /// # Errors
    /// When the file breaks the language's grammar.
    pub fn add(&mut self, text: &str) -> Result<(), TemplateError> {
        let tree = parse::parse(text, &[], Dialect::Notification)?;
        let source: Arc<str> = Arc::from(text);
        for (name, block) in tree.named {
            if !parse::is_empty(&block) || !self.named.contains_key(&name) {
                self.named.insert(name, Arc::new(Named { source: Arc::clone(&source), block }));
            }
        }
        Ok(())
    }

    /// The first named template that a text would call and that nobody defines.
    pub fn missing_for(&self, text: &Text) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut open = called(&text.tree.main);
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            match text.tree.named.get(&name).or_else(|| self.named.get(&name).map(|named| &named.block)) {
                Some(block) => open.extend(called(block)),
                None => return Some(name),
            }
        }
        None
    }

    pub(super) fn get(&self, name: &str) -> Option<&Named> {
        self.named.get(name).map(AsRef::as_ref)
    }
}

/// The names that a block calls.
fn called(block: &Block) -> Vec<String> {
    let mut names = Vec::new();
    for node in block {
        match node {
            Node::Template { name, .. } => names.push(name.clone()),
            Node::Branch { then, otherwise, .. } => {
                names.extend(called(then));
                names.extend(called(otherwise));
            }
            Node::Text(_) | Node::Action(_) | Node::Break | Node::Continue => {}
        }
    }
    names
}

/// One text of a receiver, read as a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    source: Arc<str>,
    tree: Tree,
}

impl Text {
    /// Reads a text.
    ///
    /// # Errors
    /// When it breaks the language's grammar, or names a function or a variable that does not exist.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let tree = parse::parse(source, &[], Dialect::Notification)?;
        Ok(Self { source: Arc::from(source), tree })
    }

    /// Fills in the data of a notification.
    ///
    /// # Errors
    /// When a function fails, a value has the wrong type, a template is not defined, or a limit is reached.
    pub fn expand(&self, library: &Library, data: &Data, markup: Markup) -> Result<String, TemplateError> {
        self.expand_inside(library, data, markup, &[])
    }

    /// As [`Text::expand`], inside of the labels of a route.
    pub(super) fn expand_inside(
        &self,
        library: &Library,
        data: &Data,
        markup: Markup,
        route_labels: &[String],
    ) -> Result<String, TemplateError> {
        let world = World::Notification { data, library, route_labels };
        exec::run(&self.source, &self.tree, notice::value(data), Vec::new(), world, markup)
    }
}
