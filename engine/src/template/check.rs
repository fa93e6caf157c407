//! What a template may say: expressions, `if` and `for`.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};

/// Checks the statements of a template. The answer is the longest literal text that a loop repeats,
/// in bytes.
///
/// # Errors
/// A message for people.
pub(super) fn statements(body: &[Stmt<'_>], in_loop: bool) -> Result<usize, String> {
    let mut longest = 0;
    for statement in body {
        let here = match statement {
            Stmt::Template(template) => statements(&template.children, in_loop)?,
            Stmt::EmitRaw(raw) => {
                if in_loop {
                    raw.raw.len()
                } else {
                    0
                }
            }
            Stmt::EmitExpr(emit) => expression(&emit.expr).map(|()| 0)?,
            Stmt::IfCond(branch) => {
                expression(&branch.expr)?;
                let then = statements(&branch.true_body, in_loop)?;
                then.max(statements(&branch.false_body, in_loop)?)
            }
            Stmt::ForLoop(each) if each.recursive => {
                return Err("`recursive` loops are not available".to_owned());
            }
            Stmt::ForLoop(each) => {
                expression(&each.iter)?;
                if let Some(filter) = &each.filter_expr {
                    expression(filter)?;
                }
                let repeated = statements(&each.body, true)?;
                repeated.max(statements(&each.else_body, in_loop)?)
            }
            _ => return Err("only expressions, `if` and `for` are available".to_owned()),
        };
        longest = longest.max(here);
    }
    Ok(longest)
}

/// Checks an expression.
///
/// # Errors
/// A message for people: it repeats text, which the compiler would do at once.
pub(super) fn expression(expr: &Expr<'_>) -> Result<(), String> {
    if let Expr::BinOp(op) = expr
        && matches!(op.op, BinOpKind::Mul)
        && [&op.left, &op.right]
            .into_iter()
            .any(|side| constant(side) == Some(true))
    {
        return Err("`*` takes numbers".to_owned());
    }
    children(expr).into_iter().try_for_each(expression)
}

/// For an expression that has no variable in it: whether there is text or a list.
fn constant(expr: &Expr<'_>) -> Option<bool> {
    match expr {
        Expr::Const(value) => Some(value.value.as_str().is_some()),
        Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) => {
            children(expr)
                .into_iter()
                .try_for_each(|e| constant(e).map(drop))?;
            Some(true)
        }
        Expr::UnaryOp(_)
        | Expr::BinOp(_)
        | Expr::Compare(_)
        | Expr::IfExpr(_)
        | Expr::Slice(_)
        | Expr::GetItem(_) => children(expr)
            .into_iter()
            .try_fold(false, |text, e| Some(text | constant(e)?)),
        _ => None,
    }
}

fn children<'a, 's>(expr: &'a Expr<'s>) -> Vec<&'a Expr<'s>> {
    match expr {
        Expr::Var(_) | Expr::Const(_) => Vec::new(),
        Expr::Slice(e) => {
            let bounds = [&e.start, &e.stop, &e.step];
            std::iter::once(&e.expr)
                .chain(bounds.into_iter().flatten())
                .collect()
        }
        Expr::UnaryOp(e) => vec![&e.expr],
        Expr::BinOp(e) => vec![&e.left, &e.right],
        Expr::Compare(e) => std::iter::once(&e.expr)
            .chain(e.ops.iter().map(|op| &op.expr))
            .collect(),
        Expr::IfExpr(e) => [&e.test_expr, &e.true_expr]
            .into_iter()
            .chain(&e.false_expr)
            .collect(),
        Expr::Filter(e) => e.expr.iter().chain(e.args.iter().map(argument)).collect(),
        Expr::Test(e) => std::iter::once(&e.expr)
            .chain(e.args.iter().map(argument))
            .collect(),
        Expr::GetAttr(e) => vec![&e.expr],
        Expr::GetItem(e) => vec![&e.expr, &e.subscript_expr],
        Expr::Call(e) => std::iter::once(&e.expr)
            .chain(e.args.iter().map(argument))
            .collect(),
        Expr::List(e) => e.items.iter().collect(),
        Expr::Tuple(e) => e.items.iter().collect(),
        Expr::Map(e) => e.keys.iter().chain(&e.values).collect(),
    }
}

const fn argument<'a, 's>(argument: &'a CallArg<'s>) -> &'a Expr<'s> {
    match argument {
        CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => e,
    }
}
