//! From tokens to a parse tree.

use std::collections::BTreeMap;

use super::functions;
use super::lex::{Kind, Token, lex};
use super::{Dialect, TemplateError};

/// What a template says, in order.
pub(super) type Block = Vec<Node>;

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Printed as it is.
    Text(String),
    /// Computed and, unless it sets a variable, printed.
    Action(Pipe),
    /// `if`, `with` or `range`.
    Branch { word: Branch, pipe: Pipe, then: Block, otherwise: Block },
    /// Runs a named template.
    Template { name: String, argument: Option<Pipe>, offset: usize },
    /// Leaves the innermost `range`.
    Break,
    /// Goes on with the next turn of the innermost `range`.
    Continue,
}

/// Which branching word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    If,
    With,
    Range,
}

/// Commands from left to right, each handing its result to the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe {
    /// Variables that take the result.
    pub(super) variables: Vec<String>,
    /// Whether they are new.
    pub(super) declares: bool,
    /// At least one.
    pub(super) commands: Vec<Command>,
    /// Where it starts.
    pub(super) offset: usize,
}

/// An operand, or a function with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    /// At least one.
    pub(super) operands: Vec<Operand>,
    /// Where each operand starts and ends.
    pub(super) spans: Vec<(usize, usize)>,
}

impl Command {
    /// Where it starts and ends.
    pub(super) fn span(&self) -> (usize, usize) {
        let first = self.spans.first().copied().unwrap_or_default();
        (first.0, self.spans.last().map_or(first.1, |last| last.1))
    }
}

/// Something with a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Dot,
    /// `.A.B`: fields of the dot.
    Fields(Vec<String>),
    /// `$x.A.B`
    Variable(String, Vec<String>),
    Function(&'static str),
    /// `(…)` with or without fields behind it.
    Pipe(Box<Pipe>, Vec<String>),
}

/// A parsed template with the templates that it defines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    /// The text itself.
    pub(super) main: Block,
    /// By `define` and `block`.
    pub(super) named: BTreeMap<String, Block>,
}

/// Deepest nesting of branches and parentheses.
const DEPTH_MAX: usize = 100;

/// Whether a block prints nothing but white space.
pub(super) fn is_empty(block: &Block) -> bool {
    block.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

/// Parses a template; `variables` are those that it finds set.
pub(super) fn parse(source: &str, variables: &[&str], dialect: Dialect) -> Result<Tree, TemplateError> {
    let tokens = lex(source)?;
    let outer = [""].iter().chain(variables).map(|name| (*name).to_owned()).collect();
    let mut parser =
        Parser { source, dialect, tokens, at: 0, variables: outer, named: BTreeMap::new(), ranges: 0, depth: 0 };
    let (main, ending) = parser.block()?;
    match ending {
        Ending::EndOfText => Ok(Tree { main, named: parser.named }),
        Ending::End(offset) => parser.fail(offset, "unexpected {{end}}"),
        Ending::Else(offset) => parser.fail(offset, "unexpected {{else}}"),
    }
}

struct Parser<'a> {
    source: &'a str,
    dialect: Dialect,
    tokens: Vec<Token>,
    at: usize,
    /// Names in scope, innermost last.
    variables: Vec<String>,
    named: BTreeMap<String, Block>,
    /// How many `range` are open.
    ranges: usize,
    depth: usize,
}

/// What ended a block.
enum Ending {
    EndOfText,
    /// `{{end}}`, and where.
    End(usize),
    /// `{{else`, whose rest is still to be read, and where.
    Else(usize),
}

impl Parser<'_> {
    fn fail<T>(&self, offset: usize, reason: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::at(self.source, offset, reason))
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.source.len(), |token| token.offset)
    }

    fn next(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.at += 1;
        kind
    }

    fn next_is(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == Some(kind);
        self.at += usize::from(found);
        found
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        if self.next_is(&Kind::Close) {
            Ok(())
        } else {
            self.fail(self.offset(), format!("unexpected token in {context}"))
        }
    }

    fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(self.offset(), format!("nested deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    /// Nodes up to an `end`, an `else` or the end of the text.
    fn block(&mut self) -> Result<(Block, Ending), TemplateError> {
        self.enter()?;
        let mut nodes = Block::new();
        let ending = loop {
            let offset = self.offset();
            match self.next() {
                None => break Ending::EndOfText,
                Some(Kind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => match self.peek() {
                    Some(Kind::Word(word)) if word == "end" => {
                        self.at += 1;
                        self.close("end")?;
                        break Ending::End(offset);
                    }
                    Some(Kind::Word(word)) if word == "else" => {
                        self.at += 1;
                        break Ending::Else(offset);
                    }
                    _ => nodes.extend(self.action(offset)?),
                },
            }
        };
        self.depth -= 1;
        Ok((nodes, ending))
    }

    /// One action after its `{{`.
    fn action(&mut self, open: usize) -> Result<Option<Node>, TemplateError> {
        let word = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let branch = match word.as_str() {
            "if" => Branch::If,
            "with" => Branch::With,
            "range" => Branch::Range,
            "define" => return self.define(open).map(|()| None),
            "template" => return self.template().map(Some),
            "block" => return self.block_definition(open).map(Some),
            "break" | "continue" => return self.jump(&word, open).map(Some),
            _ => {
                let pipe = self.pipe("an action")?;
                self.close("an action")?;
                return Ok(Some(Node::Action(pipe)));
            }
        };
        self.at += 1;
        self.branch(branch, open).map(Some)
    }

    /// `if`, `with` or `range` behind its word.
    fn branch(&mut self, word: Branch, open: usize) -> Result<Node, TemplateError> {
        let scope = self.variables.len();
        let pipe = self.pipe("a branch")?;
        self.close("a branch")?;
        let in_range = usize::from(word == Branch::Range);
        self.ranges += in_range;
        let (then, ending) = self.block()?;
        self.ranges -= in_range;
        let otherwise = match ending {
            Ending::End(_) => Block::new(),
            Ending::EndOfText => return self.fail(open, "a branch without {{end}}"),
            Ending::Else(offset) => self.otherwise(word, offset)?,
        };
        self.variables.truncate(scope);
        Ok(Node::Branch { word, pipe, then, otherwise })
    }

    /// What follows an `else` of the given branch.
    fn otherwise(&mut self, word: Branch, offset: usize) -> Result<Block, TemplateError> {
        let chained = match (word, self.peek()) {
            (Branch::If, Some(Kind::Word(next))) if next == "if" => Some(Branch::If),
            (Branch::With, Some(Kind::Word(next))) if next == "with" => Some(Branch::With),
            _ => None,
        };
        if let Some(chained) = chained {
            self.at += 1;
            self.enter()?;
            let node = self.branch(chained, offset)?;
            self.depth -= 1;
            return Ok(vec![node]);
        }
        self.close("else")?;
        match self.block()? {
            (block, Ending::End(_)) => Ok(block),
            (_, Ending::Else(offset)) => self.fail(offset, "a second {{else}}"),
            (_, Ending::EndOfText) => self.fail(offset, "an {{else}} without {{end}}"),
        }
    }

    fn name(&mut self, context: &str) -> Result<String, TemplateError> {
        self.at += 1;
        let offset = self.offset();
        match self.next() {
            Some(Kind::Quoted(name)) => Ok(name),
            _ => self.fail(offset, format!("{context} wants a quoted name")),
        }
    }

    fn define(&mut self, open: usize) -> Result<(), TemplateError> {
        let name = self.name("define")?;
        self.close("define")?;
        self.definition(name, open)
    }

    /// The body of a named template; it sees no variable of the text around it.
    fn definition(&mut self, name: String, open: usize) -> Result<(), TemplateError> {
        let outer = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, ending) = self.block()?;
        self.variables = outer;
        self.ranges = ranges;
        match ending {
            Ending::End(_) => match self.named.get(&name) {
                // What is empty changes nothing.
                Some(known) if !is_empty(known) && is_empty(&body) => Ok(()),
                Some(known) if !is_empty(known) => self.fail(open, format!("multiple definition of template {name:?}")),
                Some(_) | None => {
                    self.named.insert(name, body);
                    Ok(())
                }
            },
            Ending::Else(offset) => self.fail(offset, "unexpected {{else}} in a named template"),
            Ending::EndOfText => self.fail(open, format!("template {name:?} without {{{{end}}}}")),
        }
    }

    fn template(&mut self) -> Result<Node, TemplateError> {
        let offset = self.offset();
        let name = self.name("template")?;
        let argument = if self.peek() == Some(&Kind::Close) { None } else { Some(self.pipe("template")?) };
        self.close("template")?;
        Ok(Node::Template { name, argument, offset })
    }

    fn block_definition(&mut self, open: usize) -> Result<Node, TemplateError> {
        let offset = self.offset();
        let name = self.name("block")?;
        let argument = Some(self.pipe("block")?);
        self.close("block")?;
        self.definition(name.clone(), open)?;
        Ok(Node::Template { name, argument, offset })
    }

    fn jump(&mut self, word: &str, open: usize) -> Result<Node, TemplateError> {
        self.at += 1;
        self.close(word)?;
        if self.ranges == 0 {
            return self.fail(open, format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    fn pipe(&mut self, context: &str) -> Result<Pipe, TemplateError> {
        let offset = self.offset();
        let (variables, declares) = self.assignment(context)?;
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(context)?);
            if !self.next_is(&Kind::Pipe) {
                break;
            }
        }
        for command in &commands[1..] {
            if !matches!(
                command.operands[0],
                Operand::Function(_) | Operand::Fields(_) | Operand::Variable(..) | Operand::Pipe(..)
            ) {
                return self.fail(command.span().0, "a constant cannot take the result of a pipeline");
            }
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { variables, declares, commands, offset })
    }

    /// `$x :=`, `$x =` or, in a range, `$i, $x :=` at the start of a pipeline.
    fn assignment(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let kind = |ahead: usize| self.tokens.get(self.at + ahead).map(|token| token.kind.clone());
        let (names, operator) = match (kind(0), kind(1), kind(2), kind(3)) {
            (Some(Kind::Variable(one)), operator @ Some(Kind::Declare | Kind::Assign), ..) => (vec![one], operator),
            (
                Some(Kind::Variable(one)),
                Some(Kind::Comma),
                Some(Kind::Variable(two)),
                operator @ Some(Kind::Declare | Kind::Assign),
            ) if context == "a branch" => (vec![one, two], operator),
            _ => return Ok((Vec::new(), false)),
        };
        let declares = operator == Some(Kind::Declare);
        let unknown = names.iter().find(|name| !declares && !self.variables.contains(name));
        if let Some(name) = unknown {
            return self.fail(self.offset(), format!("undefined variable \"${name}\""));
        }
        self.at += names.len() * 2;
        Ok((names, declares))
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        let offset = self.offset();
        let (mut operands, mut spans) = (Vec::new(), Vec::new());
        loop {
            let start = self.offset();
            let Some(operand) = self.operand()? else { break };
            operands.push(operand);
            spans.push((start, self.source[..self.offset()].trim_end().len()));
            let spaced = self.tokens.get(self.at).is_none_or(|token| token.spaced);
            if !spaced && !matches!(self.peek(), Some(Kind::Close | Kind::Pipe | Kind::CloseParen)) {
                return self.fail(self.offset(), "operands want a space between them");
            }
        }
        if operands.is_empty() {
            return self.fail(offset, format!("missing value for {context}"));
        }
        Ok(Command { operands, spans })
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let offset = self.offset();
        let Some(kind) = self.peek().cloned() else { return Ok(None) };
        let operand = match kind {
            Kind::Word(word) => self.word(&word, offset)?,
            Kind::Int(value) => Operand::Int(value),
            Kind::Float(value) => Operand::Float(value),
            Kind::Quoted(text) => Operand::Text(text),
            Kind::Dot => Operand::Dot,
            Kind::Field(_) => return Ok(Some(Operand::Fields(self.fields(true)))),
            Kind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return self.fail(offset, format!("undefined variable \"${name}\""));
                }
                self.at += 1;
                return Ok(Some(Operand::Variable(name, self.fields(false))));
            }
            Kind::OpenParen => {
                self.at += 1;
                self.enter()?;
                let pipe = self.pipe("parentheses")?;
                self.depth -= 1;
                if !self.next_is(&Kind::CloseParen) {
                    return self.fail(self.offset(), "unclosed left parenthesis");
                }
                return Ok(Some(Operand::Pipe(Box::new(pipe), self.fields(false))));
            }
            Kind::Text(_)
            | Kind::Open
            | Kind::Close
            | Kind::Pipe
            | Kind::Comma
            | Kind::Declare
            | Kind::Assign
            | Kind::CloseParen => return Ok(None),
        };
        self.at += 1;
        Ok(Some(operand))
    }

    fn word(&self, word: &str, offset: usize) -> Result<Operand, TemplateError> {
        match word {
            "true" => Ok(Operand::Bool(true)),
            "false" => Ok(Operand::Bool(false)),
            "nil" => Ok(Operand::Nil),
            name => match functions::find(name, self.dialect) {
                Some(name) => Ok(Operand::Function(name)),
                None => self.fail(offset, format!("function {name:?} not defined")),
            },
        }
    }

    /// The fields that stand here without a space between them; the first one may have a space before it where it
    /// starts an operand of its own.
    fn fields(&mut self, own_operand: bool) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token { kind: Kind::Field(name), spaced, .. }) = self.tokens.get(self.at) {
            if *spaced && !(own_operand && fields.is_empty()) {
                break;
            }
            fields.push(name.clone());
            self.at += 1;
        }
        fields
    }
}
