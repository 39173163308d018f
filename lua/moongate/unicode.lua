-- SPDX-License-Identifier: MIT
--
-- Bytes that have to be UTF-8 where they go: one route's name in another encoding must not make a whole answer
-- unreadable.

local unicode = {}

local REPLACEMENT = "\239\191\189"

-- First byte, then the second, then how many more: RFC 3629, 4.
local SEQUENCES = {
  { "^[\194-\223][\128-\191]", 2 },
  { "^\224[\160-\191][\128-\191]", 3 },
  { "^[\225-\236\238\239][\128-\191][\128-\191]", 3 },
  { "^\237[\128-\159][\128-\191]", 3 },
  { "^\240[\144-\191][\128-\191][\128-\191]", 4 },
  { "^[\241-\243][\128-\191][\128-\191][\128-\191]", 4 },
  { "^\244[\128-\143][\128-\191][\128-\191]", 4 },
}

local function sequence_at(text, at)
  for _, sequence in ipairs(SEQUENCES) do
    if text:find(sequence[1], at) then
      return sequence[2]
    end
  end
end

--- The text with U+FFFD in place of each byte that is not part of valid UTF-8.
function unicode.clean(text)
  local at = text:find "[\128-\255]"
  if not at then
    return text
  end
  local parts, from = {}, 1
  while at do
    local size = sequence_at(text, at)
    parts[#parts + 1] = text:sub(from, at - 1)
    parts[#parts + 1] = size and text:sub(at, at + size - 1) or REPLACEMENT
    from = at + (size or 1)
    at = text:find("[\128-\255]", from)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

return unicode
