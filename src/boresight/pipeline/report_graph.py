"""The lineage drawn: a layered graph of data and stages as inline SVG, top to bottom.

Layers by longest path, edges of one source and role bundled, order within a layer by barycentres (Sugiyama et al.
1981), places by the mean of the neighbours. Everything is decided by names and order, so equal runs draw equal graphs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

NODE_WIDTH, NODE_HEIGHT, BEND_WIDTH, LAYER_HEIGHT, SPACE = 148.0, 44.0, 10.0, 84.0, 18.0
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Node:
    """A box: `shape` is stage or data; `lines` are the words in it, the first one bold."""

    id: str
    lines: tuple[str, ...]
    shape: str


@dataclass(frozen=True, slots=True)
class Edge:
    """`role` is built (a start, data, prompts), reference or reward (a judge too)."""

    source: str
    target: str
    role: str


@dataclass(slots=True)
class _Place:
    """A box, or a bend of a bundle of edges that passes a layer (`node` is None)."""

    layer: int
    node: Node | None
    x: float = 0.0
    above: list["_Place"] = field(default_factory=list)
    below: list["_Place"] = field(default_factory=list)

    @property
    def width(self) -> float:
        return NODE_WIDTH if self.node else BEND_WIDTH

    @property
    def y(self) -> float:
        return self.layer * LAYER_HEIGHT + 2


def draw_graph(nodes: Sequence[Node], edges: Sequence[Edge], label: str) -> Markup:
    """The graph as an `<svg>`; edges whose ends are not among the nodes are left out."""
    known = {node.id for node in nodes}
    edges = [edge for edge in edges if edge.source in known and edge.target in known]
    layers = _layers(nodes, edges)
    places = {node.id: _Place(layers[node.id], node) for node in nodes}
    rows: list[list[_Place]] = [[] for _ in range(max(layers.values(), default=0) + 1)]
    for place in places.values():
        rows[place.layer].append(place)
    paths = _route(places, rows, edges)
    _order(rows)
    _position(rows)
    return _svg(rows, paths, label)


def _layers(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """Longest path from the sources; data stands in the layer above its first reader."""
    layer = {node.id: 0 for node in nodes}
    for _ in nodes:
        for edge in edges:
            layer[edge.target] = max(layer[edge.target], layer[edge.source] + 1)
    for node in nodes:
        readers = [layer[edge.target] for edge in edges if edge.source == node.id]
        if node.shape == "data" and readers:
            layer[node.id] = min(readers) - 1
    return layer


def _route(
    places: Mapping[str, _Place], rows: list[list[_Place]], edges: Iterable[Edge]
) -> list[tuple[_Place, _Place, str]]:
    """Pieces of edges from layer to layer; edges of one source and role share their bends."""
    bends: dict[tuple[str, str, int], _Place] = {}
    pieces: list[tuple[_Place, _Place, str]] = []
    for edge in sorted(edges, key=lambda edge: places[edge.target].layer):
        upper = places[edge.source]
        for layer in range(upper.layer + 1, places[edge.target].layer):
            key = (edge.source, edge.role, layer)
            if key not in bends:
                bends[key] = _Place(layer, None)
                rows[layer].append(bends[key])
                _join(upper, bends[key], edge.role, pieces)
            upper = bends[key]
        _join(upper, places[edge.target], edge.role, pieces)
    return pieces


def _join(upper: _Place, lower: _Place, role: str, pieces: list[tuple[_Place, _Place, str]]) -> None:
    upper.below.append(lower)
    lower.above.append(upper)
    pieces.append((upper, lower, role))


def _order(rows: list[list[_Place]]) -> None:
    """Sort each layer by the mean rank of its neighbours, downwards and upwards in turn."""
    for row in rows:
        _rank(row)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            row.sort(key=lambda place: _mean_x(place.above if sweep % 2 == 0 else place.below, place.x))
            _rank(row)


def _rank(row: Sequence[_Place]) -> None:
    for rank, place in enumerate(row):
        place.x = (rank + 0.5) / len(row)


def _mean_x(places: Sequence[_Place], otherwise: float) -> float:
    return sum(place.x for place in places) / len(places) if places else otherwise


def _pull(place: _Place) -> float:
    """Where its neighbours want it; bends follow bends most, so that long edges run straight."""
    neighbours = [*place.above, *place.below]
    weights = [6.0 if place.node is None and other.node is None else 1.0 for other in neighbours]
    if not neighbours:
        return place.x
    return sum(w * other.x for w, other in zip(weights, neighbours, strict=True)) / sum(weights)


def _position(rows: list[list[_Place]]) -> None:
    """Pixels: pack each layer in its order, then draw every place towards its neighbours as far as there is room."""
    for row in rows:
        left = -sum(place.width + SPACE for place in row) / 2
        for place in row:
            place.x = left + place.width / 2
            left += place.width + SPACE
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_pull(place) for place in row]
            _spread(row, wanted)


def _spread(row: Sequence[_Place], wanted: Sequence[float]) -> None:
    """Nearest places to the wanted ones that keep order and space: the mean of packing from either side."""
    rightward: list[float] = []
    for place, x in zip(row, wanted, strict=True):
        previous = row[len(rightward) - 1] if rightward else None
        room = rightward[-1] + (previous.width + place.width) / 2 + SPACE if previous else x
        rightward.append(max(x, room))
    leftward: list[float] = []
    for place, x in zip(reversed(row), reversed(wanted), strict=True):
        following = row[len(row) - len(leftward)] if leftward else None
        room = leftward[-1] - (following.width + place.width) / 2 - SPACE if following else x
        leftward.append(min(x, room))
    for place, right, left in zip(row, rightward, reversed(leftward), strict=True):
        place.x = (right + left) / 2


def _svg(rows: Sequence[Sequence[_Place]], pieces: Sequence[tuple[_Place, _Place, str]], label: str) -> Markup:
    everything = [place for row in rows for place in row]
    low = min((place.x - place.width / 2 for place in everything), default=0.0) - 8
    high = max((place.x + place.width / 2 for place in everything), default=0.0) + 8
    width, height = high - low, len(rows) * LAYER_HEIGHT - (LAYER_HEIGHT - NODE_HEIGHT) + 4
    lines = [_line(upper, lower, role, low) for upper, lower, role in pieces]
    boxes = [_box(place, place.node, low) for place in everything if place.node]
    opening = Markup('<svg role="img" aria-label="{}" width="{:.0f}" height="{:.0f}" viewBox="0 0 {:.0f} {:.0f}">')
    return Markup("").join([opening.format(label, width, height, width, height), *lines, *boxes, Markup("</svg>")])


def _line(upper: _Place, lower: _Place, role: str, low: float) -> Markup:
    shift = {"reference": 7, "reward": -7}.get(role, 0)
    x1, x2 = upper.x - low + (shift if upper.node else 0), lower.x - low + (shift if lower.node else 0)
    y1, y2 = upper.y + NODE_HEIGHT, lower.y
    middle = (y1 + y2) / 2
    through = "" if lower.node else f"V{lower.y + NODE_HEIGHT:.1f}"
    path = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}{through}"
    return Markup('<path class="edge {}" d="{}"/>').format(role, path)


def _box(place: _Place, node: Node, low: float) -> Markup:
    x, y = place.x - low - NODE_WIDTH / 2, place.y
    radius = 6 if node.shape == "stage" else 22
    words = [
        Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
            "first" if index == 0 else "second", place.x - low, y + 18 + 16 * index, line
        )
        for index, line in enumerate(node.lines)
    ]
    return Markup(
        '<g class="node {}"><rect x="{:.1f}" y="{:.1f}" width="{:.0f}" height="{:.0f}" rx="{}"/>{}</g>'
    ).format(node.shape, x, y, NODE_WIDTH, NODE_HEIGHT, radius, Markup("").join(words))
