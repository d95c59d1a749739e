"""Faults of one line, found in the source, and the even draw among them."""

from __future__ import annotations

import ast
import hashlib
import io
import itertools
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("losses", "regularizers", "training", "checkpoint", "metrics", "evaluation")
KINDS = ("operator", "sign", "constant", "dropped")

SYMBOLS: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult)
NUMERIC = {"mean", "sum", "square", "sqrt", "log", "exp", "norm", "softplus", "relu", "logsigmoid", "tanh"}
"""A call of one of these gives a number or a tensor, so that a minus can stand before it."""
FOLDERS = ("folder", "path", "damaged", "directory", "root")
"""A name that ends with one of these is a path, whose / is no division."""
UNTOUCHED = (ast.Import, ast.ImportFrom, ast.Raise, ast.Assert, ast.JoinedStr, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Fault:
    """A change of one line."""

    path: str
    """Relative to the repository."""
    line: int
    kind: str
    before: str
    """The line, without indentation."""
    after: str
    first: int
    """Tests that run a line from ``first`` to ``last`` can notice it."""
    last: int
    at_import: bool
    """Whether the line runs when the module is imported: a constant, or the default of an argument."""

    @property
    def name(self) -> str:
        """The change without the line's number, which other changes move."""
        return f"{self.path}: {self.before} → {self.after}"

    @property
    def key(self) -> str:
        """The change with the line's number."""
        return f"{self.path}:{self.line}: {self.before} → {self.after}"

    def planted(self, source: str) -> str:
        """Return the source with the fault in it."""
        lines = source.splitlines(keepends=True)
        old = lines[self.line - 1]
        assert old.strip() == self.before, f"{self.path}:{self.line} is not the line that the fault was found in"
        lines[self.line - 1] = old.replace(self.before, self.after)
        return "".join(lines)


def is_number(node: ast.expr) -> bool:
    """Tell whether an operand may be a number or a tensor: certainly no text, collection or path."""
    match node:
        case ast.Constant(str() | bytes()) | ast.JoinedStr() | ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
            return False
        case ast.Name(name) | ast.Attribute(attr=name):
            return not name.endswith(FOLDERS)
        case ast.Call(func=ast.Name("set" | "sorted" | "list" | "str" | "Path")):
            return False
        case ast.BinOp(left, _, right):
            return is_number(left) and is_number(right)
        case _:
            return True


def is_stub(function: ast.FunctionDef) -> bool:
    """Tell whether a function only states a signature: a docstring, ``...``, ``pass``, NotImplementedError."""
    return all(
        isinstance(s, ast.Pass)
        or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        or (isinstance(s, ast.Raise) and "NotImplementedError" in ast.unparse(s))
        for s in function.body
    )


def changed(constant: bool | int | float) -> str:
    """Return the text of another constant: True ↔ False, 0 → 1, 1 → 2, 0.0 → 0.1, 0.5 → 0.6, 1e-8 → 1e-06."""
    if isinstance(constant, bool):
        return str(not constant)
    if isinstance(constant, int):
        return str(constant + 1)
    factor = 100 if abs(constant) < 1e-3 else 1.2
    return repr(float(f"{constant * factor:.6g}")) if constant else "0.1"


class Finder(ast.NodeVisitor):
    """All faults of one file.

    Docstrings, annotations, imports, ``__all__``, ``if TYPE_CHECKING``, decorators, f-strings, functions that only
    state a signature, and the whole of ``raise`` and ``assert`` stay: faults there concern style, texts or mypy.
    ``strict=`` stays too, because zip only asserts with it.
    """

    def __init__(self, path: str, source: str) -> None:
        self.path, self.faults = path, list[Fault]()
        self.lines = source.encode().splitlines()  # ast counts columns in bytes
        self.tokens = [
            (token.start[0], len(token.line[: token.start[1]].encode()), token.string)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type in (tokenize.OP, tokenize.NAME)
        ]
        self.function: ast.FunctionDef | None = None  # whose body is visited
        self.bound: set[str] = set()  # names that the function has bound so far
        self.reach = (1, len(self.lines))  # the lines whose tests can notice a fault
        self.visit(ast.parse(source))

    def add(self, kind: str, line: int, start: int, end: int, new: str) -> None:
        """Note the fault that puts ``new`` in place of the bytes from ``start`` to ``end`` of a line."""
        old = self.lines[line - 1]
        before, after = (text.decode().strip() for text in (old, old[:start] + new.encode() + old[end:]))
        self.faults.append(Fault(self.path, line, kind, before, after, *self.reach, self.function is None))

    def replace(self, kind: str, node: ast.expr | ast.stmt, new: str) -> None:
        """Note the fault that puts ``new`` in place of a node, if that is on one line."""
        if node.end_lineno == node.lineno and node.end_col_offset is not None:
            self.add(kind, node.lineno, node.col_offset, node.end_col_offset, new)

    # Statements: what they reach, and whether they may be dropped.

    def visit(self, node: ast.AST) -> None:
        """Visit a node, and know the lines of the innermost statement, without the block that it may open."""
        if isinstance(node, UNTOUCHED):
            return
        outer = self.reach
        if isinstance(node, ast.stmt) and self.function is not None:
            block = getattr(node, "body", None)
            self.reach = (node.lineno, block[0].lineno - 1 if block else node.end_lineno or node.lineno)
            if self.can_go(node, self.function):
                self.replace("dropped", node, "pass")
        super().visit(node)
        if isinstance(node, ast.stmt):
            self.bound |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.reach = outer

    def can_go(self, node: ast.stmt, function: ast.FunctionDef) -> bool:
        """Tell whether a statement can be dropped without the next use of its names failing for that alone."""
        match node:
            case ast.Expr(ast.Call(func)):
                return not ast.unparse(func).endswith((".__init__", ".register_buffer"))
            case ast.AugAssign() | ast.Delete() | ast.Break() | ast.Continue() | ast.Return(None):
                return True
            case ast.Assign(targets=[ast.Name(name)]):
                return name in self.bound
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                return function.name != "__init__"
            case _:
                return False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit the defaults, which are computed at import and noticed where the body runs, and the body."""
        if is_stub(node):
            return
        outer = self.function, self.bound, self.reach
        self.function, self.reach = None, (node.body[0].lineno, node.end_lineno or node.lineno)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self.function, self.bound = node, {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        for statement in node.body:
            self.visit(statement)
        self.function, self.bound, self.reach = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit the body; its constants are noticed where a method runs."""
        outer = self.function, self.reach
        self.function, self.reach = None, (node.lineno, node.end_lineno or node.lineno)
        for statement in node.body:
            self.visit(statement)
        self.function, self.reach = outer

    def visit_If(self, node: ast.If) -> None:
        """Leave out what only type checkers read."""
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave ``__all__`` out."""
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            self.negate(node.value)
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave the annotation out."""
        if node.value is not None:
            self.negate(node.value)
            self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        """Return the result with the other sign."""
        if node.value is not None:
            self.negate(node.value)
            self.visit(node.value)

    # Expressions.

    def exchange(self, operator: type, left: ast.expr, right: ast.expr, equals: str = "") -> None:
        """Note the fault that puts another operator between two operands."""
        if operator not in SYMBOLS:
            return
        old, new = (symbol + equals for symbol in SYMBOLS[operator])
        start, end = (left.end_lineno or 0, left.end_col_offset or 0), (right.lineno, right.col_offset)
        line, column = next((n, c) for n, c, text in self.tokens if text == old and start <= (n, c) < end)
        self.add("operator", line, column, column + len(old), new)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """+ ↔ -, * ↔ /."""
        if is_number(node):
            self.exchange(type(node.op), node.left, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """+= ↔ -=, *= ↔ /=."""
        if is_number(node.value):
            self.exchange(type(node.op), node.target, node.value, "=")
        self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        """< ↔ <=, > ↔ >=, == ↔ !=."""
        self.between([type(op) for op in node.ops], [node.left, *node.comparators])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """And ↔ or."""
        self.between([type(node.op)] * (len(node.values) - 1), node.values)
        self.generic_visit(node)

    def between(self, operators: Sequence[type], operands: Sequence[ast.expr]) -> None:
        """Exchange each operator of a chain."""
        for operator, (left, right) in zip(operators, itertools.pairwise(operands), strict=True):
            self.exchange(operator, left, right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """-x → x."""
        if isinstance(node.op, ast.USub):
            self.add("sign", node.lineno, node.col_offset, node.col_offset + 1, "")
        self.generic_visit(node)

    def negate(self, node: ast.expr) -> None:
        """X → -(x), where x is arithmetic or a call that gives a number."""
        match node:
            case ast.BinOp(op=op):
                number = isinstance(op, ARITHMETIC) and is_number(node)
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(name)):
                number = name in NUMERIC
            case _:
                number = False
        if number:
            text = self.lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()
            self.replace("sign", node, f"-({text})")

    def visit_Constant(self, node: ast.Constant) -> None:
        """0 → 1, 1 → 2, 0.5 → 0.6, True ↔ False."""
        if isinstance(node.value, bool | int | float):
            self.replace("constant", node, changed(node.value))

    def visit_keyword(self, node: ast.keyword) -> None:
        """Leave ``strict=`` out."""
        if node.arg != "strict":
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Leave the numbers of a type out."""
        if not (isinstance(node.value, ast.Name) and node.value.id in ("Literal", "Annotated")):
            self.generic_visit(node)


def all_faults(root: Path) -> list[Fault]:
    """Return every fault that could be planted, by file."""
    paths = [path for package in PACKAGES for path in sorted((root / "gantrain" / package).rglob("*.py"))]
    return [fault for p in paths for fault in Finder(p.relative_to(root).as_posix(), p.read_text()).faults]


def drawn(faults: list[Fault], seed: int, count: int) -> list[Fault]:
    """Return ``count`` faults, dealt in rounds over packages and kinds; two of one line only where no others are left.

    The order within a package and kind is that of a hash of the change, so that an edit elsewhere moves no fault.
    """

    def order(text: str) -> bytes:
        return hashlib.sha256(f"{seed}: {text}".encode()).digest()

    heaps: dict[str, list[Fault]] = {}
    for fault in sorted(faults, key=lambda f: (order(f.name), f.line)):  # one statement may stand twice in a file
        heaps.setdefault(f"{fault.path.split('/')[1]} {fault.kind}", []).append(fault)
    chosen: list[Fault] = []
    for turn in itertools.count():
        left = sorted((heap for heap in heaps if heaps[heap]), key=lambda heap: order(f"{turn}: {heap}"))
        for heap in left[: count - len(chosen)]:
            taken = {(fault.path, fault.line) for fault in chosen}
            fresh = (k for k, fault in enumerate(heaps[heap]) if (fault.path, fault.line) not in taken)
            chosen.append(heaps[heap].pop(next(fresh, 0)))
        if not left or len(chosen) >= count:
            return sorted(chosen, key=lambda f: (f.path, f.line, f.after))
    raise AssertionError("the rounds end when nothing is left")
