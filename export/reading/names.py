"""What names say: which inputs are called as states are, and which output is called as which.

A name is taken apart into words (`stateN` is state and n). Marks such as `in`, `prev`, `out` and
`next` tell the old value from the new; what is left must be equal, word by word: never a prefix,
and never the order of sorting.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_JOINED = re.compile(r"([hc])([ntxy])")  # hn, cn, hx, hy: the letter and its mark
_STATES = {
    *("state", "states", "hidden", "hiddens", "cache", "caches", "cached", "carry", "recurrent"),
    *("hxs", "cxs", "past"),
}
_LETTERS = {"h", "c"}
_LETTER = {(each,) for each in _LETTERS}
_CELLS = {"lstm", "gru", "rnn"}
_BEFORE = {"prev", "previous", "old", "init", "initial", "past"}
_OLD = {"in", "input", "inputs", "x"} | _BEFORE
_NEW = {"out", "output", "outputs", "new", "next", "updated", "final", "past", "n", "y"}
_SAME = {"present": "past"}  # what comes back as the past is called the present
# A decoder is sent these as often as a cell keeps them: states where an output is called so too.
_PERHAPS = {"memory", "memories", "mem", "context", "contexts"}
_ENCODED = {"enc", "encoder", "encoded", "encodings", "keys", "values"}
_HEARD = {
    *("audio", "wav", "waveform", "speech", "signal", "sound", "pcm", "samples", "noisy", "mic"),
    *("mel", "mels", "fbank", "features", "feature", "feats", "spectrogram", "spec", "frame"),
    *("frames", "x", "input", "inputs", "image", "images", "obs", "text", "tokens", "ids"),
}

_Words = tuple[str, ...]


def is_state(name: str) -> bool:
    """Whether an input is called as nothing but a state is."""
    words = _words(name)
    found = set(words)
    if found & _STATES or (found & _LETTERS and found & (_CELLS | _BEFORE)):
        return True
    return words[:1] in _LETTER and (len(words) == 2 or words[-1] in _OLD)


def may_be_state(name: str) -> bool:
    """Whether an input is called as a state is, or as little else: a lone `h` or `c`."""
    return is_state(name) or _words(name) in _LETTER


def may_be_kept(name: str) -> bool:
    """Whether an input is called as a state is if an output is called as its new value."""
    return may_be_state(name) or bool(_PERHAPS & set(_words(name)))


def is_heard(name: str) -> bool:
    """Whether an input is called as what clients send: no shape of an output makes it a state."""
    words = set(_words(name))
    plain = all(each.isdigit() or each in _HEARD | _OLD for each in words)
    return plain and bool(_HEARD & words) and not may_be_kept(name)


def may_be_fixed(name: str) -> bool:
    """Whether an input is called as what a decoder is sent with every step, and stays the same."""
    return may_be_kept(name) or bool(_ENCODED & set(_words(name)))


def may_be_new_state(name: str) -> bool:
    """Whether an output is called as a state's new value is: hn, h_n_2, c_out, new_state."""
    bare = _bare(_words(name))
    lettered = bare[:1] and bare[0] in _LETTERS and all(word.isdigit() for word in bare[1:])
    return is_state(name) or bool(lettered)


def says_nothing(name: str) -> bool:
    """Whether a name is nothing but marks and numbers, as those of TorchScript's outputs are."""
    return all(word.isdigit() or word in _OLD | _NEW for word in _words(name))


def pair_by_name(alike: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The output of each input whose name says which it is; `alike` holds those of its shape.

    The plainest way of naming comes first; at each way an input and an output must have nothing
    but each other.
    """
    found: dict[str, str] = {}
    for way in _WAYS:
        free = {
            name: [each for each in outputs if each not in found.values()]
            for name, outputs in alike.items()
            if name not in found
        }
        fitting = {
            name: [each for each in outputs if way(_words(name), _words(each))]
            for name, outputs in free.items()
        }
        for name, outputs in fitting.items():
            rivals = [other for other, theirs in fitting.items() if set(outputs) & set(theirs)]
            if len(outputs) == 1 and rivals == [name]:
                found[name] = outputs[0]
    return found


def told(alike: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The pairs that names bear out, those that leave some of one shape untold included."""
    found = _in_order(alike)
    return found | pair_by_name(_without_found(alike, found))


def likeliest(alike: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The output that each input is proposed to come back as; nothing for what is called as none
    of them, beside others that are and unless it is called a state.

    What names tell comes first, then names that have a word in common.
    """
    found = told(alike)
    ranked = sorted(
        (-_in_common(name, output), name, output)
        for name, outputs in alike.items()
        for output in outputs
    )
    for common, name, output in ranked:
        if common and name not in found and output not in found.values():
            found[name] = output
    plain = not found
    for name, outputs in _without_found(alike, found).items():
        free = [each for each in outputs if each not in found.values()]
        stems = {_stem(each) for each in free}
        if len(stems) == 1 and () not in stems:  # else numbers count something else
            free.sort(key=_numbers)
        if free and (plain or is_state(name)):
            found[name] = free[0]
    return {name: found[name] for name in alike if name in found}


def _in_order(alike: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Inputs and outputs of one stem, as many of each, in the order of their numbers."""
    found: dict[str, str] = {}
    for stem in {_stem(name) for name in alike} - {()}:
        names = sorted((each for each in alike if _stem(each) == stem), key=_numbers)
        every = dict.fromkeys(each for name in names for each in alike[name])
        outputs = sorted((each for each in every if _stem(each) == stem), key=_numbers)
        pairs = dict(zip(names, outputs, strict=False))
        if len(names) == len(outputs) and all(pairs[name] in alike[name] for name in names):
            found |= pairs
    return found


def _without_found(
    alike: Mapping[str, Sequence[str]], found: Mapping[str, str]
) -> dict[str, list[str]]:
    return {
        name: [each for each in outputs if each not in found.values()]
        for name, outputs in alike.items()
        if name not in found
    }


def _in_common(name: str, output: str) -> int:
    """How much two names have in common; an old value is one by more than its shape."""
    old, new = set(_bare(_words(name))), set(_bare(_words(output)))
    return 2 * len(old & new) + bool(_BEFORE & set(_words(name))) if old & new else 0


def _stem(name: str) -> _Words:
    return tuple(each for each in _bare(_words(name)) if not each.isdigit())


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(each) for each in _words(name) if each.isdigit())


def _words(name: str) -> _Words:
    found: list[str] = []
    for word in (each.lower() for each in _WORD.findall(name)):
        joined = _JOINED.fullmatch(word)
        found += [joined[1], joined[2]] if joined else [_SAME.get(word, word)]
    return tuple(found)


def _without(words: _Words, marks: Collection[str]) -> list[_Words]:
    """The words with one mark left out, for each mark among them."""
    return [
        (*words[:place], *words[place + 1 :]) for place, each in enumerate(words) if each in marks
    ]


def _bare(words: _Words) -> _Words:
    return tuple(each for each in words if each not in _OLD | _NEW)


def _start(words: _Words) -> _Words:
    """Without a 0 at the end: h0 is what comes back as hn."""
    return words[:-1] if words[-1:] == ("0",) else words


_WAYS: tuple[Callable[[_Words, _Words], bool], ...] = (
    lambda old, new: bool(old) and old == new,
    lambda old, new: bool(old) and old in _without(new, _NEW),
    lambda old, new: any(each and each in _without(new, _NEW) for each in _without(old, _OLD)),
    lambda old, new: bool(_bare(old)) and _bare(old) == _bare(new),
    lambda old, new: bool(_bare(old)) and _bare(_start(old)) == _bare(new) and old != _start(old),
)
