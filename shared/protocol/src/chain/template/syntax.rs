//! What a template may contain and what it reads, determined from its syntax before it runs.
//!
//! Fuel limits the number of operations, not the size of values: forty times `{% set a = a ~ a %}`
//! makes a terabyte. For this reason templates have no variables of their own, no functions, no macros
//! and no repeated texts; the output grows no faster than the template and its inputs.

use std::collections::BTreeSet;

use minijinja::{
    machinery::{
        Span, Token,
        ast::{BinOpKind, CallArg, Expr, Stmt, UnaryOpKind},
        parse, parse_expr, tokenize,
    },
    syntax::SyntaxConfig,
};

use super::environment::{is_filter, is_test};
use crate::{chain::StepName, envelope::shortened};

/// How often a template may join texts or lists with `~` or `+`.
const JOINS: usize = 64;

/// The most names and operators in one expression, and the most `elif` in a template. The engine
/// recurses into them and would overflow the stack.
const LINKS: usize = 400;

/// Filters that always return a number.
const NUMERIC: &[&str] = &["abs", "count", "float", "int", "length", "round"];

/// What a template reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::chain) struct Uses {
    /// The steps, each with the field that is read, if the syntax shows it.
    pub(in crate::chain) fields: BTreeSet<(StepName, Option<String>)>,
    /// Whether it reads `item` or `index`.
    pub(in crate::chain) item: bool,
    /// Whether it reads `gathered`.
    pub(in crate::chain) gathered: bool,
    /// Whether it reads `job`, `parameters` or `round`, which only a recipe has.
    pub(in crate::chain) inputs: bool,
    /// The steps of the recipe's last round that it reads, each with the field, if the syntax shows it.
    pub(in crate::chain) last: BTreeSet<(StepName, Option<String>)>,
    /// Whether it reads `last` at all.
    pub(in crate::chain) reads_last: bool,
}

impl Uses {
    /// Reads these steps as a whole.
    pub(in crate::chain) fn of_steps(steps: &[StepName]) -> Self {
        Self {
            fields: steps.iter().map(|step| (step.clone(), None)).collect(),
            ..Self::default()
        }
    }

    /// Reads the one answer of a step.
    pub(in crate::chain) fn of_answer(step: &StepName) -> Self {
        Self {
            fields: BTreeSet::from([(step.clone(), Some("output".to_owned()))]),
            ..Self::default()
        }
    }

    pub(in crate::chain) fn steps(&self) -> impl Iterator<Item = &StepName> {
        self.fields.iter().map(|(step, _)| step)
    }

    /// Whether it reads what only a recipe has.
    pub(in crate::chain) fn of_recipe(&self) -> bool {
        self.inputs || self.reads_last
    }
}

/// What a template reads, or its errors.
pub(in crate::chain) fn uses(template: &str) -> Result<Uses, Vec<String>> {
    check_links(template, false).map_err(|fault| vec![fault])?;
    let parsed = parse(template, "template", SyntaxConfig::default());
    let parsed = parsed.map_err(|error| vec![not_parsed(&error, "template", template)])?;
    let mut walk = Walk::of(template);
    walk.statement(&parsed);
    walk.done()
}

/// What an expression reads, or its errors.
pub(in crate::chain) fn uses_of_expression(expression: &str) -> Result<Uses, Vec<String>> {
    if expression.trim_start().starts_with("{{") {
        return Err(vec![
            "expected an expression without `{{` and `}}`".to_owned(),
        ]);
    }
    check_links(expression, true).map_err(|fault| vec![fault])?;
    let parsed = parse_expr(expression);
    let parsed = parsed.map_err(|error| vec![not_parsed(&error, "expression", expression)])?;
    let mut walk = Walk::of(expression);
    walk.expression(&parsed);
    walk.done()
}

/// Rejects an expression with too many names and operators before it is parsed: `1 - 1 - 1 …` nests as
/// deep as it is long. The parser itself limits brackets.
fn check_links(text: &str, is_expression: bool) -> Result<(), String> {
    let mut links = 0_usize;
    let mut alternatives = 0_usize;
    // The parser reports invalid tokens with a better text.
    for (token, _) in tokenize(text, is_expression, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::BlockStart => links = 0,
            Token::Ident("elif") => alternatives += 1,
            Token::Comma
            | Token::Colon
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::TemplateData(_) => {}
            _ => links += 1,
        }
        if links > LINKS {
            return Err(format!(
                "expected at most {LINKS} names and operators in one expression, but got more"
            ));
        }
        if alternatives > LINKS {
            return Err(format!("expected at most {LINKS} `elif`, but got more"));
        }
    }
    Ok(())
}

/// The text at a range. For `a.b` and `a[b]` the engine's range starts after the `a`; this adds it.
pub(super) fn part(text: &str, range: std::ops::Range<usize>) -> Option<&str> {
    let part = text.get(range.clone())?;
    if !part.starts_with(['.', '[']) {
        return Some(part);
    }
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let before = text.get(..range.start)?;
    let start = before.trim_end_matches(is_path).len();
    text.get(start..range.end)
}

fn not_parsed(error: &minijinja::Error, what: &str, text: &str) -> String {
    let kind = error.kind().to_string();
    let detail = error.detail().unwrap_or(&kind);
    match error.line() {
        Some(line) if text.contains('\n') => format!("line {line}: not a {what}: {detail}"),
        _ => format!(
            "not a{} {what}: {detail}",
            if what == "expression" { "n" } else { "" }
        ),
    }
}

/// One pass over a template.
struct Walk<'a> {
    text: &'a str,
    uses: Uses,
    faults: Vec<String>,
    joins: usize,
    /// The loop variables in scope, innermost last.
    bound: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            uses: Uses::default(),
            faults: Vec::new(),
            joins: 0,
            bound: Vec::new(),
        }
    }

    fn done(mut self) -> Result<Uses, Vec<String>> {
        if self.joins > JOINS {
            let joins = self.joins;
            self.faults.push(format!(
                "expected at most {JOINS} times `~` or `+`, but got {joins}"
            ));
        }
        if self.faults.is_empty() {
            Ok(self.uses)
        } else {
            Err(self.faults)
        }
    }

    /// Adds an error that quotes the text at a span.
    fn fault(&mut self, at: Span, words: &str) {
        let range = at.start_offset as usize..at.end_offset as usize;
        let quoted = shortened(part(self.text, range).unwrap_or_default().trim());
        let line = if self.text.contains('\n') {
            format!("line {}: ", at.start_line)
        } else {
            String::new()
        };
        let fault = format!("{line}`{quoted}`: {words}");
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn statements(&mut self, all: &[Stmt<'a>]) {
        for statement in all {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'a>) {
        const EXPECTED: &str = "expected for, if or raw";
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emitted) => self.expression(&emitted.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            Stmt::ForLoop(each) => {
                if each.recursive {
                    self.fault(each.span(), "expected a loop that is not recursive");
                }
                self.expression(&each.iter);
                let outer = self.bound.len();
                self.bound.push("loop");
                self.bind(&each.target);
                if let Some(filter) = &each.filter_expr {
                    self.expression(filter);
                }
                self.statements(&each.body);
                self.bound.truncate(outer);
                self.statements(&each.else_body);
            }
            Stmt::WithBlock(other) => self.fault(other.span(), EXPECTED),
            Stmt::Set(other) => self.fault(other.span(), EXPECTED),
            Stmt::SetBlock(other) => self.fault(other.span(), EXPECTED),
            Stmt::AutoEscape(other) => self.fault(other.span(), EXPECTED),
            Stmt::FilterBlock(other) => self.fault(other.span(), EXPECTED),
            Stmt::Do(other) => self.fault(other.span(), EXPECTED),
        }
    }

    /// Adds the variables of a loop.
    fn bind(&mut self, target: &Expr<'a>) {
        match target {
            Expr::Var(name) => self.bound.push(name.id),
            Expr::List(list) => list.items.iter().for_each(|name| self.bind(name)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|name| self.bind(name)),
            other => self.fault(other.span(), "expected names"),
        }
    }

    fn expressions<'e>(&mut self, all: impl IntoIterator<Item = &'e Expr<'a>>)
    where
        'a: 'e,
    {
        for expression in all {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &Expr<'a>) {
        match expression {
            Expr::Var(name) => self.variable(name.id, name.span()),
            Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                self.expressions(
                    [&slice.start, &slice.stop, &slice.step]
                        .into_iter()
                        .flatten(),
                );
            }
            Expr::UnaryOp(unary) => self.expression(&unary.expr),
            Expr::BinOp(binary) => {
                match binary.op {
                    BinOpKind::Add | BinOpKind::Concat => self.joins += 1,
                    BinOpKind::Mul if !(is_number(&binary.left) && is_number(&binary.right)) => {
                        self.fault(
                            binary.span(),
                            "expected numbers on both sides of `*`: say `| float` behind what is not one in writing",
                        );
                    }
                    _ => {}
                }
                self.expressions([&binary.left, &binary.right]);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                self.expressions(compare.ops.iter().map(|op| &op.expr));
            }
            Expr::IfExpr(condition) => {
                self.expressions([&condition.test_expr, &condition.true_expr]);
                self.expressions(&condition.false_expr);
            }
            Expr::Filter(filter) => {
                if !is_filter(filter.name) {
                    let words = format!("there is no filter `{}`", filter.name);
                    self.fault(filter.span(), &words);
                }
                self.expressions(&filter.expr);
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                if !is_test(test.name) {
                    let words = format!("there is no test `{}`", test.name);
                    self.fault(test.span(), &words);
                }
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(_) | Expr::GetItem(_) => self.path(expression),
            Expr::Call(call) => {
                self.fault(
                    call.span(),
                    "there are no functions: expected a filter, such as `| length`",
                );
            }
            Expr::List(list) => self.expressions(&list.items),
            Expr::Tuple(tuple) => self.expressions(&tuple.items),
            Expr::Map(map) => self.expressions(map.keys.iter().chain(&map.values)),
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'a>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    fn variable(&mut self, name: &str, at: Span) {
        if self.bound.contains(&name) {
            return;
        }
        match name {
            "steps" => self.fault(at, "expected `steps.` and the name of a step"),
            "item" | "index" => self.uses.item = true,
            "gathered" => self.uses.gathered = true,
            "job" | "parameters" | "round" => self.uses.inputs = true,
            "last" => self.uses.reads_last = true,
            "chain" => {}
            _ => self.fault(
                at,
                "expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
            ),
        }
    }

    /// A path of attributes and items, perhaps of a step.
    fn path(&mut self, expression: &Expr<'a>) {
        let mut names = Vec::new();
        let mut at = expression;
        loop {
            match at {
                Expr::GetAttr(attr) => {
                    names.push(Some(attr.name.to_owned()));
                    at = &attr.expr;
                }
                Expr::GetItem(item) => {
                    let key = match &item.subscript_expr {
                        Expr::Const(key) => key.value.as_str().map(str::to_owned),
                        other => {
                            self.expression(other);
                            None
                        }
                    };
                    names.push(key);
                    at = &item.expr;
                }
                Expr::Var(name)
                    if matches!(name.id, "steps" | "last") && !self.bound.contains(&name.id) =>
                {
                    let field = names.iter().rev().nth(1).cloned().flatten();
                    let span = expression.span();
                    match names.last() {
                        Some(Some(step)) => self.step(name.id, step, field, span),
                        _ => self.fault(
                            span,
                            &format!(
                                "expected the name of a step behind `{}`, as it is written",
                                name.id
                            ),
                        ),
                    }
                    return;
                }
                root => return self.expression(root),
            }
        }
    }

    /// Notes a step of this round (`steps`) or of the last one (`last`).
    fn step(&mut self, root: &str, step: &str, field: Option<String>, at: Span) {
        match StepName::parse(step) {
            Ok(step) if root == "last" => {
                self.uses.reads_last = true;
                self.uses.last.insert((step, field));
            }
            Ok(step) => {
                self.uses.fields.insert((step, field));
            }
            Err(wrong) => self.fault(at, &wrong.to_string()),
        }
    }
}

/// Whether an expression always gives a number or an error, whatever its variables are.
fn is_number(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Const(value) => value.value.is_number(),
        Expr::UnaryOp(unary) => matches!(unary.op, UnaryOpKind::Neg),
        Expr::Filter(filter) => NUMERIC.contains(&filter.name),
        Expr::BinOp(binary) => match binary.op {
            BinOpKind::Sub
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => true,
            BinOpKind::Add | BinOpKind::Mul => is_number(&binary.left) && is_number(&binary.right),
            _ => false,
        },
        _ => false,
    }
}
