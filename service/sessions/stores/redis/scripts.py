"""The Lua scripts of the Redis store: each runs as a whole or not at all, and judges every row.

They answer a letter a row. Every script looks at a session's revision before it writes anything
there, and at the type of what it finds: an error in the middle would leave rows without an answer.
"""

from dataclasses import dataclass, field
from hashlib import sha1

# `at(key)`: the revision at a key, "" if there is none, nil for what is no string.
_COMMON = """
local BURIED = string.rep("\\0", 16)
local function at(key)
  local found = redis.pcall("GETRANGE", key, 0, 15)
  if type(found) == "table" then return nil end
  return found
end
"""

_STEP = """
local out = {}
for i, key in ipairs(KEYS) do
  local found = at(key)
  if found == nil then
    out[i] = "D"
  elseif found == ARGV[2 * i - 1] then
    redis.call("SET", key, ARGV[2 * i])
    out[i] = "W"
  elseif found == "" or found == BURIED then
    out[i] = "G"
  else
    out[i] = "L"
  end
end
return table.concat(out)
"""

# KEYS: due, buried, then session and ids of each row. ARGV: whether it is all or none, then base,
# value, due, member and id of each row.
_OPEN = """
local function judge(row)
  local found = at(KEYS[2 * row + 1])
  local base = ARGV[5 * row - 3]
  if found == nil then return "D" end
  if type(redis.pcall("ZCARD", KEYS[2 * row + 2])) == "table" then return "D" end
  local free = found == "" or found == BURIED
  if base == "" then return free and "W" or "L" end
  if free then return "G" end
  return found == base and "W" or "L"
end
local out, refused = {}, false
local rows = (#KEYS - 2) / 2
if ARGV[1] == "1" then
  for row = 1, rows do
    out[row] = judge(row)
    refused = refused or out[row] ~= "W"
  end
  if refused then return table.concat(out) end
end
for row = 1, rows do
  out[row] = judge(row)
  if out[row] == "W" then
    local first = 5 * row - 3
    redis.call("ZADD", KEYS[1], ARGV[first + 2], ARGV[first + 3])
    redis.call("ZADD", KEYS[2 * row + 2], 0, ARGV[first + 4])
    redis.call("ZREM", KEYS[2], ARGV[first + 3])
    redis.call("SET", KEYS[2 * row + 1], ARGV[first + 1])
  end
end
return table.concat(out)
"""

# KEYS: due, session, ids. ARGV: base, member, id. What is no string has the revision "".
_DELETE = """
local found = at(KEYS[2])
if found == BURIED or redis.call("EXISTS", KEYS[2]) == 0 then return "G" end
if (found or "") ~= ARGV[1] then return "L" end
redis.call("DEL", KEYS[2])
redis.call("ZREM", KEYS[1], ARGV[2])
redis.pcall("ZREM", KEYS[3], ARGV[3])
return "W"
"""

# KEYS: due, buried, then session and ids of each row. ARGV: of each row base ("": not to be
# buried), tombstone ("": none), time of expiry, when it is due next if it stays, when it was due,
# member, id.
# What takes away goes first: a full Redis lets a script write only if it has begun to, and it is
# full until what has expired is gone.
_BURY = """
local out = {}
for row = 1, (#KEYS - 2) / 2 do
  local session, ids, first = KEYS[2 * row + 1], KEYS[2 * row + 2], 7 * row - 6
  local found, base = at(session), ARGV[first]
  local name, id = ARGV[first + 5], ARGV[first + 6]
  out[row] = "M"
  if found == "" or found == BURIED then
    redis.call("ZREM", KEYS[1], name)
    redis.pcall("ZREM", ids, id)
  elseif base ~= "" and found == base then
    redis.call("DEL", session)
    redis.call("ZREM", KEYS[1], name)
    redis.pcall("ZREM", ids, id)
    if ARGV[first + 1] ~= "" then
      redis.call("SET", session, ARGV[first + 1])
      redis.call("ZADD", KEYS[2], ARGV[first + 2], name)
      out[row] = "B"
    end
  elseif redis.call("ZSCORE", KEYS[1], name) == ARGV[first + 4] then
    redis.call("ZREM", KEYS[1], name)
    redis.call("ZADD", KEYS[1], ARGV[first + 3], name)
  end
end
return table.concat(out)
"""

# KEYS: buried, then each session. ARGV: a time, then each member.
_FORGET = """
for row = 1, #KEYS - 1 do
  local name = ARGV[row + 1]
  local score = redis.call("ZSCORE", KEYS[1], name)
  if score and tonumber(score) <= tonumber(ARGV[1]) then
    if at(KEYS[row + 1]) == BURIED then redis.call("DEL", KEYS[row + 1]) end
    redis.call("ZREM", KEYS[1], name)
  end
end
return ""
"""

# KEYS: due, then each session. ARGV: of each row base ("": to be left as it is), metadata as long
# as what is there, when it is due next, when it was due, member.
_STAMP = """
for row = 1, #KEYS - 1 do
  local session, first = KEYS[row + 1], 5 * row - 4
  if ARGV[first] ~= "" and at(session) == ARGV[first] then
    redis.call("SETRANGE", session, 20, ARGV[first + 1])
  end
  if redis.call("ZSCORE", KEYS[1], ARGV[first + 4]) == ARGV[first + 3] then
    redis.call("ZADD", KEYS[1], ARGV[first + 2], ARGV[first + 4])
  end
end
return ""
"""

# KEYS: buried. ARGV: a time, then each member.
_FORGET_LATER = """
for row = 2, #ARGV do
  redis.call("ZADD", KEYS[1], "XX", "LT", ARGV[1], ARGV[row])
end
return ""
"""

Argument = bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name Redis gives it."""

    text: bytes = field(repr=False)
    sha: bytes

    def call(self, keys: list[bytes], arguments: list[bytes], rows: int) -> "Call":
        """The call that runs it for so many rows."""
        return Call(self, (b"EVALSHA", self.sha, len(keys), *keys, *arguments), rows)


@dataclass(slots=True, eq=False)
class Call:
    """A call of a script, whose answer has a letter for each of `rows`."""

    script: Script
    command: tuple[Argument, ...] = field(repr=False)
    rows: int


def _script(text: str) -> Script:
    code = (_COMMON + text).encode()
    # Not for secrecy: it is the name by which Redis knows a script.
    return Script(code, sha1(code, usedforsecurity=False).hexdigest().encode())


# KEYS: sessions. ARGV: base and value of each.
STEP = _script(_STEP)
OPEN = _script(_OPEN)
DELETE = _script(_DELETE)
BURY = _script(_BURY)
FORGET = _script(_FORGET)
STAMP = _script(_STAMP)
FORGET_LATER = _script(_FORGET_LATER)
