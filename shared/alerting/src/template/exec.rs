//! Runs a parse tree.

use std::rc::Rc;
use std::sync::Arc;

use super::functions;
use super::html::Html;
use super::methods;
use super::parse::{Block, Branch, Command, Node, Operand, Pipe, Tree};
use super::value::Value;
use super::{Data, Environment, Library, Markup, TemplateError, Text};

/// Most bytes that a template may print.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Most steps that a template may take: nodes of all turns of all ranges.
const STEPS_MAX: usize = 100_000;
/// Deepest nesting of named templates.
const CALL_DEPTH_MAX: usize = 100;

/// A named template of a file, with the text that its places count in.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    pub(super) source: Arc<str>,
    pub(super) block: Block,
}

/// What is around a template.
#[derive(Clone, Copy)]
pub(super) enum World<'a> {
    /// That of a rule.
    Rule(&'a Environment<'a>),
    /// That of a receiver.
    Notification {
        data: &'a Data,
        library: &'a Library,
        /// The labels of the route that are being expanded, outermost first.
        route_labels: &'a [String],
    },
}

/// Runs a template with the given dot and variables.
pub(super) fn run(
    source: &str,
    tree: &Tree,
    dot: Value,
    variables: Vec<(String, Value)>,
    world: World<'_>,
    markup: Markup,
) -> Result<String, TemplateError> {
    let mut scope = vec![(String::new(), dot.clone())];
    scope.extend(variables);
    let html = (markup == Markup::Html).then(Html::default);
    let mut run = Run { source, inside: None, tree, world, html, scope, output: String::new(), steps: 0, calls: 0 };
    run.block(&tree.main, &dot)?;
    Ok(run.output)
}

struct Run<'a> {
    source: &'a str,
    /// The named template that runs.
    inside: Option<String>,
    tree: &'a Tree,
    world: World<'a>,
    /// Where in HTML the output is, when it is HTML.
    html: Option<Html>,
    /// Variables, innermost last; `$` is the one without a name.
    scope: Vec<(String, Value)>,
    output: String,
    steps: usize,
    calls: usize,
}

/// How a block ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Normal,
    Break,
    Continue,
}

type Step<T> = Result<T, TemplateError>;

impl<'a> Run<'a> {
    fn fail<T>(&self, offset: usize, reason: impl Into<String>) -> Step<T> {
        Err(self.placed(TemplateError::at(self.source, offset, reason)))
    }

    fn placed(&self, error: TemplateError) -> TemplateError {
        TemplateError { inside: self.inside.clone(), ..error }
    }

    fn fail_at<T>(&self, span: (usize, usize), reason: impl Into<String>) -> Step<T> {
        Err(self.placed(TemplateError::while_running(self.source, span, reason)))
    }

    fn block(&mut self, block: &Block, dot: &Value) -> Step<Flow> {
        let outer = self.scope.len();
        for node in block {
            let flow = self.node(node, dot)?;
            if flow != Flow::Normal {
                self.scope.truncate(outer);
                return Ok(flow);
            }
        }
        self.scope.truncate(outer);
        Ok(Flow::Normal)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Step<Flow> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return self.fail(0, format!("takes more than {STEPS_MAX} steps"));
        }
        match node {
            Node::Text(text) => match self.html.as_mut().map(|html| html.text(text)) {
                Some(text) => self.print(&text)?,
                None => self.print(text)?,
            },
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    let text = match &mut self.html {
                        Some(html) => html.value(&value),
                        None => value.printed(),
                    };
                    self.print(&text)?;
                }
            }
            Node::Branch { word: Branch::Range, pipe, then, otherwise } => {
                return self.range(pipe, then, otherwise, dot);
            }
            Node::Branch { word, pipe, then, otherwise } => {
                let outer = self.scope.len();
                let value = self.pipe(pipe, dot)?;
                let inner = if *word == Branch::With { &value } else { dot };
                let flow = if value.is_true() { self.block(then, inner)? } else { self.block(otherwise, dot)? };
                self.scope.truncate(outer);
                return Ok(flow);
            }
            Node::Template { name, argument, offset } => self.call_template(name, argument.as_ref(), *offset, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Normal)
    }

    fn print(&mut self, text: &str) -> Step<()> {
        self.output.push_str(text);
        if self.output.len() > OUTPUT_BYTES_MAX {
            return self.fail(0, format!("prints more than {OUTPUT_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    fn range(&mut self, pipe: &Pipe, then: &Block, otherwise: &Block, dot: &Value) -> Step<Flow> {
        let outer = self.scope.len();
        let value = self.commands(pipe, dot)?;
        let turns = match turns(&value) {
            Ok(turns) => turns,
            Err(reason) => {
                let end = pipe.commands.last().map_or(pipe.offset, |command| command.span().1);
                return self.fail_at((pipe.offset, end), reason);
            }
        };
        if turns.is_empty() {
            return self.block(otherwise, dot);
        }
        for (key, item) in turns {
            let values = match pipe.variables.len() {
                2 => vec![key, item.clone()],
                _ => vec![item.clone()],
            };
            for (name, value) in pipe.variables.iter().zip(values) {
                self.set(name, value, pipe.declares);
            }
            let flow = self.block(then, &item)?;
            self.scope.truncate(outer);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Normal)
    }

    fn call_template(&mut self, name: &str, argument: Option<&Pipe>, offset: usize, dot: &Value) -> Step<()> {
        let dot = match argument {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.run_template(name, dot, offset)
    }

    fn run_template(&mut self, name: &str, dot: Value, offset: usize) -> Step<()> {
        let Some((source, block)) = self.named(name) else {
            return self.fail(offset, format!("template {name:?} not defined"));
        };
        self.calls += 1;
        if self.calls > CALL_DEPTH_MAX {
            return self.fail(offset, format!("templates call each other deeper than {CALL_DEPTH_MAX}"));
        }
        let outer = std::mem::replace(&mut self.scope, vec![(String::new(), dot.clone())]);
        let outer_source = std::mem::replace(&mut self.source, source);
        let outer_name = self.inside.replace(name.to_owned());
        self.block(block, &dot)?;
        (self.source, self.inside) = (outer_source, outer_name);
        self.scope = outer;
        self.calls -= 1;
        Ok(())
    }

    /// A named template and the text it stands in: one of the template itself before one of a file.
    fn named(&self, name: &str) -> Option<(&'a str, &'a Block)> {
        let tree: &'a Tree = self.tree;
        if let Some(block) = tree.named.get(name) {
            return Some((self.source, block));
        }
        let World::Notification { library, .. } = self.world else { return None };
        let library: &'a Library = library;
        library.get(name).map(|named| (&*named.source, &named.block))
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        let existing = self.scope.iter_mut().rev().find(|(known, _)| !declares && known == name);
        match existing {
            Some(slot) => slot.1 = value,
            None => self.scope.push((name.to_owned(), value)),
        }
    }

    /// The value of a pipeline, kept in its variables.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Step<Value> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value) -> Step<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Step<Value> {
        let (first, rest) = command.operands.split_first().expect("the parser gives every command an operand");
        if let Operand::Function(name) = first {
            return self.function(name, command, dot, piped);
        }
        let first_span = command.spans[0];
        if !rest.is_empty() || piped.is_some() {
            return self.method(first, command, dot, piped);
        }
        if *first == Operand::Nil {
            return self.fail_at(first_span, "nil is not a command");
        }
        self.operand(first, first_span, dot)
    }

    /// A field with arguments: the last name is that of a method.
    fn method(&mut self, first: &Operand, command: &Command, dot: &Value, piped: Option<Value>) -> Step<Value> {
        let span = command.spans[0];
        let (start, fields): (Value, &[String]) = match first {
            Operand::Fields(fields) => (dot.clone(), fields),
            Operand::Variable(name, fields) => (self.variable(name), fields),
            Operand::Pipe(pipe, fields) => (self.pipe(pipe, dot)?, fields),
            Operand::Nil
            | Operand::Bool(_)
            | Operand::Int(_)
            | Operand::Float(_)
            | Operand::Text(_)
            | Operand::Dot
            | Operand::Function(_) => (Value::Nil, &[]),
        };
        let Some((name, fields)) = fields.split_last() else {
            return self.fail_at(span, "can't give argument to non-function");
        };
        let arguments = self.arguments(command, dot, piped)?;
        let receiver = match fields.iter().try_fold(start, |value, name| value.field(name)) {
            Ok(receiver) => receiver,
            Err(reason) => return self.fail_at(span, reason),
        };
        match methods::call(&receiver, name, &arguments) {
            Some(Ok(value)) => Ok(value),
            Some(Err(reason)) => self.fail_at(command.span(), format!("error calling {name}: {reason}")),
            None if receiver.field(name).is_ok() => {
                self.fail_at(span, format!("{name} is not a method but has arguments"))
            }
            None => self.fail_at(span, format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    /// The arguments of a command, what was piped into it last.
    fn arguments(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Step<Vec<Value>> {
        let mut arguments = Vec::with_capacity(command.operands.len());
        for (operand, span) in command.operands.iter().zip(&command.spans).skip(1) {
            arguments.push(self.operand(operand, *span, dot)?);
        }
        arguments.extend(piped);
        Ok(arguments)
    }

    fn function(&mut self, name: &'static str, command: &Command, dot: &Value, piped: Option<Value>) -> Step<Value> {
        if name == "and" || name == "or" {
            return self.logic(name, command, dot, piped);
        }
        let arguments = self.arguments(command, dot, piped)?;
        if let Some(reason) = functions::wrong_count(name, arguments.len()) {
            return self.fail_at(command.spans[0], reason);
        }
        if name == "tmpl" {
            return self.expanded(&arguments, command);
        }
        if name == "routeLabels" {
            return self.route_label(&arguments, command);
        }
        match functions::call(name, &arguments, self.world) {
            Ok(value) => Ok(value),
            Err(reason) => self.fail_at(command.span(), format!("error calling {name}: {reason}")),
        }
    }

    /// `tmpl`: what a named template prints.
    fn expanded(&mut self, arguments: &[Value], command: &Command) -> Step<Value> {
        let [Value::Text(name), dot] = arguments else {
            return self.fail_at(command.span(), "wrong type for value; expected string");
        };
        let outer = std::mem::take(&mut self.output);
        self.run_template(name, dot.clone(), command.span().0)?;
        Ok(Value::text(std::mem::replace(&mut self.output, outer)))
    }

    /// `routeLabels`: the label of the route, whose value is a template, too.
    fn route_label(&self, arguments: &[Value], command: &Command) -> Step<Value> {
        let (World::Notification { data, library, route_labels }, [Value::Text(name)]) = (self.world, arguments) else {
            return self.fail_at(command.span(), "wrong type for value; expected string");
        };
        if route_labels.iter().any(|open| **open == **name) {
            return self.fail_at(command.span(), format!("the label {name:?} of the route leads back to itself"));
        }
        let Some(text) = data.route_labels.get(&**name) else { return Ok(Value::text("")) };
        let open: Vec<String> = route_labels.iter().cloned().chain([name.to_string()]).collect();
        let expanded = Text::parse(text).and_then(|text| text.expand_inside(library, data, Markup::Text, &open));
        match expanded {
            Ok(text) => Ok(Value::text(text)),
            Err(error) => self.fail_at(command.span(), format!("label {name:?} of the route: {error}")),
        }
    }

    /// `and` and `or`: the first operand that decides, or the last one; those behind it are not looked at.
    fn logic(&mut self, name: &str, command: &Command, dot: &Value, piped: Option<Value>) -> Step<Value> {
        let or = name == "or";
        let mut last = None;
        for (operand, span) in command.operands.iter().zip(&command.spans).skip(1) {
            let value = self.operand(operand, *span, dot)?;
            if value.is_true() == or {
                return Ok(value);
            }
            last = Some(value);
        }
        match piped.or(last) {
            Some(value) => Ok(value),
            None => self.fail_at(command.spans[0], format!("wrong number of args for {name}: want at least 1 got 0")),
        }
    }

    fn operand(&mut self, operand: &Operand, span: (usize, usize), dot: &Value) -> Step<Value> {
        let (start, fields): (Value, &[String]) = match operand {
            Operand::Nil => return Ok(Value::Nil),
            Operand::Bool(value) => return Ok(Value::Bool(*value)),
            Operand::Int(value) => return Ok(Value::Int(*value)),
            Operand::Float(value) => return Ok(Value::Float(*value)),
            Operand::Text(text) => return Ok(Value::text(text)),
            Operand::Dot => return Ok(dot.clone()),
            Operand::Function(name) => {
                let alone = Command { operands: vec![Operand::Function(name)], spans: vec![span] };
                return self.function(name, &alone, dot, None);
            }
            Operand::Fields(fields) => (dot.clone(), fields),
            Operand::Variable(name, fields) => (self.variable(name), fields),
            Operand::Pipe(pipe, fields) => (self.pipe(pipe, dot)?, fields),
        };
        match fields.iter().try_fold(start, |value, name| value.field(name)) {
            Ok(value) => Ok(value),
            Err(reason) => self.fail_at(span, reason),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.scope.iter().rev().find(|(known, _)| known == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }
}

/// The keys and items that a `range` walks over, in order of key.
fn turns(value: &Value) -> Result<Vec<(Value, Value)>, String> {
    let number = |index: usize| Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(_, items) => {
            Ok(items.iter().enumerate().map(|(index, item)| (number(index), item.clone())).collect())
        }
        Value::Texts(map) | Value::Pairs(map) => {
            Ok(map.iter().map(|(key, text)| (Value::text(key), Value::text(text))).collect())
        }
        Value::Map(map) => Ok(map.iter().map(|(key, item)| (Value::text(key), item.clone())).collect()),
        Value::Int(count) => {
            let count = usize::try_from(*count).unwrap_or(0).min(STEPS_MAX);
            Ok((0..count).map(|index| (number(index), number(index))).collect())
        }
        Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Safe(..)
        | Value::Record(..)
        | Value::Time(..)
        | Value::Duration(_) => Err(format!("range can't iterate over {}", value.printed())),
    }
}

/// What Go calls the type of that data.
const ALERT_DATA: &str = "struct { Labels map[string]string; ExternalLabels map[string]string; \
                          ExternalURL string; Value interface {} }";

/// The data that Prometheus hands to the templates of a rule.
pub(super) fn rule_data(environment: &Environment<'_>) -> (Value, Vec<(String, Value)>) {
    let labels: std::collections::BTreeMap<String, String> =
        environment.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let labels = Value::Texts(Rc::new(labels));
    let external_labels = Value::Texts(Rc::new(environment.external_labels.clone()));
    let external_url = Value::text(environment.external_url);
    let value = Value::Float(environment.value);
    let fields = [
        ("Labels", labels.clone()),
        ("ExternalLabels", external_labels.clone()),
        ("ExternalURL", external_url.clone()),
        ("Value", value.clone()),
    ];
    let variables =
        [("labels", labels), ("externalLabels", external_labels), ("externalURL", external_url), ("value", value)];
    let named = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    (Value::Record(ALERT_DATA, Rc::new(fields.into_iter().collect())), named)
}
