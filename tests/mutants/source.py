"""A Rust file with switches put in: at each place that cargo-mutants would alter, both the line as it
is and the line altered, and a number that chooses between them."""

import re

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
# Behind `crate::mutant(NUMBER)` stands a function that switches.py adds to the crate.
SWITCH = "crate::mutant(%d)"
BOX = "Box::new({", "}) as Box<dyn Iterator<Item = _> + '_>"
MARKS = re.compile(rb"/\*<([0-9 ]+)\*/|/\*>\*/")
# What an operator belongs to, with all that it is chained with: altered alone, `&&` in
# `a && b && c` would be read as `(a || b) && c`, where the text altered reads `a || (b && c)`.
CHAIN = "binary_expression"
EXPRESSIONS = {
    "BinaryOperator": (CHAIN, "compound_assignment_expr"),
    "UnaryOperator": ("unary_expression",),
    "StructField": ("struct_expression",),
}


class Source:
    """One file as tree-sitter reads it."""

    def __init__(self, path):
        self.path = path
        # Whether its constants can be made functions.
        self.constants = True
        self.text = path.read_bytes()
        self.root = PARSER.parse(self.text).root_node
        self.lines = [0]
        for line in self.text.decode().split("\n"):
            self.lines.append(self.lines[-1] + len(line.encode()) + 1)

    def offset(self, place):
        """The byte at a line and a column, both counted from 1 and the column in characters."""
        begin = self.lines[place["line"] - 1]
        line = self.text[begin : self.lines[place["line"]]].decode()
        return begin + len(line[: place["column"] - 1].encode())

    def switched(self, mutants):
        """The file with a switch for each of these mutants, by their numbers; and the numbers of
        those for which there can be none."""
        wraps, inserts, left, constants = {}, [], [], {}
        for number, mutant in mutants.items():
            start, end = (self.offset(mutant["span"][side]) for side in ("start", "end"))
            node = self.root.descendant_for_byte_range(start, start + 1)
            place = getattr(self, mutant["genre"].lower(), self.expression)
            constant = climb(node, "const_item")
            if constant is not None and not self.constants:
                left.append(number)
            elif not place(number, mutant, node, start, end, wraps, inserts):
                left.append(number)
            elif constant is not None:
                constants[text_of(constant.child_by_field_name("name"))] = constant
        for name, constant in constants.items():
            inserts += self.as_function(name, constant)
        for (start, end, boxed), choices in wraps.items():
            numbers = " ".join(str(number) for number, _ in choices)
            before, after = BOX if boxed else ("", "")
            head = ""
            for number, altered in choices:
                for name in constants:
                    altered = re.sub(rf"\b{name}\b", f"{name}()", altered)
                altered = f"/*<{number}*/{before}{altered}{after}/*>*/"
                head += f"if {SWITCH % number} {{{altered}}} else "
            inserts.append((start, 1, -end, f"/*<{numbers}*/({head}{{{before}"))
            inserts.append((end, 0, -start, f"{after}}})/*>*/"))
        out, at = [], 0
        # What ends somewhere ends before anything begins there; the outer begins first and ends last.
        for place, _, _, text in sorted(inserts):
            out += [self.text[at:place], text.encode()]
            at = place
        return b"".join([*out, self.text[at:]]), left

    def as_function(self, name, constant):
        """What makes a function of a constant, which could ask for no switch: what must go becomes a
        comment, and who uses it calls it."""
        words = {"const": ("/*", "*/fn"), ":": ("/*", "*/() ->"), "=": ("/*", "*/{"), ";": ("/*", "*/}")}
        for child in constant.children:
            if child.type in words:
                before, after = words[child.type]
                yield child.start_byte, 1, -child.end_byte, before
                yield child.end_byte, 0, -child.start_byte, after
        for use in identifiers(self.root):
            if text_of(use) == name and use.parent.id != constant.id:
                yield use.end_byte, 0, -use.start_byte, "()"

    def fnvalue(self, number, mutant, node, start, end, wraps, inserts):
        """A function that returns at once."""
        while node is not None:
            body = node.child_by_field_name("body") if node.type == "function_item" else None
            if body is not None and body.start_byte <= start and end <= body.end_byte:
                break
            node = node.parent
        else:
            return False
        head = self.text[node.start_byte : body.start_byte]
        if b"const" in head.split():
            return False
        value = mutant["replacement"]
        # "Some iterator" is of one type, whichever way it is made.
        if b"-> impl Iterator" in head:
            place = body.start_byte + 1, body.end_byte - 1, True
            wraps.setdefault(place, []).append((number, value))
            return True
        text = f"if {SWITCH % number} {{/*<{number}*/return {value};/*>*/}}\n"
        # After all that other switches put there.
        inserts.append((body.start_byte + 1, 1, -len(self.text) - number, text))
        return True

    def matcharm(self, number, mutant, node, start, end, wraps, inserts):
        """An arm that never fits."""
        pattern = climb(node, "match_arm").child_by_field_name("pattern")
        # cargo-mutants takes out no arm that has a guard.
        inserts.append((pattern.end_byte, 1, 0, f" if !{SWITCH % number}"))
        return True

    def matcharmguard(self, number, mutant, node, start, end, wraps, inserts):
        """A guard that is always or never so."""
        guard = climb(node, "match_arm").child_by_field_name("pattern")
        guard = guard.child_by_field_name("condition")
        if guard.type in ("let_condition", "let_chain"):
            return False
        place = guard.start_byte, guard.end_byte, False
        wraps.setdefault(place, []).append((number, mutant["replacement"]))
        return True

    def expression(self, number, mutant, node, start, end, wraps, inserts):
        """The expression around an operator or a field, altered."""
        node = climb(node, *EXPRESSIONS[mutant["genre"]])
        if node is None:
            return False
        while node.parent.type == CHAIN:
            node = node.parent
        altered = (node.start_byte, start), (end, node.end_byte)
        before, after = (self.text[slice(*part)].decode() for part in altered)
        place = node.start_byte, node.end_byte, False
        text = before + mutant["replacement"] + after
        wraps.setdefault(place, []).append((number, text))
        return True


def text_of(node):
    return node.text.decode()


def identifiers(node):
    """All names below a node."""
    if node.type == "identifier":
        yield node
    for child in node.children:
        yield from identifiers(child)


def climb(node, *kinds):
    """The node, or the first around it, that is of one of these kinds."""
    while node is not None and node.type not in kinds:
        node = node.parent
    return node


def named(text, place):
    """The numbers of the innermost switch of that text that this byte belongs to."""
    stack = []
    for mark in MARKS.finditer(text, 0, place):
        if mark[1]:
            stack.append([int(number) for number in mark[1].split()])
        elif stack:
            stack.pop()
    return stack[-1] if stack else []
