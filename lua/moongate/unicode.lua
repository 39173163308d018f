-- SPDX-License-Identifier: MIT
--
-- Bytes that have to be UTF-8 where they go: one route's name in another encoding must not make a whole answer
-- unreadable; and how many columns of a terminal a text takes.

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

-- Code points that take two columns, and that take none: what matters of UAX #11 and of the combining marks.
local WIDE = {
  { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF },
  { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F9FF },
  { 0x20000, 0x3FFFD },
}
local NARROWEST = {
  { 0x0300, 0x036F }, { 0x0483, 0x0489 }, { 0x0591, 0x05BD }, { 0x064B, 0x065F }, { 0x1AB0, 0x1AFF },
  { 0x1DC0, 0x1DFF }, { 0x200B, 0x200F }, { 0x202A, 0x202E }, { 0x2060, 0x2064 }, { 0x20D0, 0x20FF },
  { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F }, { 0xFEFF, 0xFEFF },
}

local function is_in(point, ranges)
  for _, range in ipairs(ranges) do
    if point >= range[1] and point <= range[2] then
      return true
    end
  end
  return false
end

local SEQUENCE = "[%z\1-\127\194-\244][\128-\191]*"

-- Beyond those of ASCII: U+0080 to U+009F, the separators of lines, and the marks that turn the order of what follows
-- (UAX #9). As text_is_control() of runtime/core/text.h.
local CONTROLS = { "\194[\128-\159]", "\226\128[\168-\174]", "\226\129[\166-\169]" }

---Valid UTF-8 in which each character that a terminal or an editor obeys, rather than showing it, is what
---`replace` makes of it.
---@param text string
---@param replace string|fun(character: string): string
---@param controls? string of ASCII, as a set of Lua's patterns
---@return string
function unicode.without_controls(text, replace, controls)
  text = unicode.clean(text):gsub(controls or "[%c\127]", replace)
  if text:find "[\194\226]" then
    for _, control in ipairs(CONTROLS) do
      text = text:gsub(control, replace)
    end
  end
  return text
end

---Whether the text has such a character.
---@param text string
---@return boolean
function unicode.has_controls(text)
  return text:find "[%c\127]" ~= nil or unicode.without_controls(text, "") ~= unicode.clean(text)
end

---The text as a terminal may show it, in one line: valid UTF-8, "?" in place of control characters.
---@param text string
---@return string
function unicode.printable(text)
  return unicode.without_controls(text, "?")
end

---The same of text in lines.
---@param text string
---@return string
function unicode.printable_lines(text)
  return unicode.without_controls(text, "?", "[%z\1-\9\11-\31\127]")
end

---The number of the one character that the text is.
---@param character string
---@return integer
function unicode.code_point(character)
  local first = character:byte()
  if first < 0x80 then
    return first
  end
  local point = first % (first < 0xE0 and 0x20 or first < 0xF0 and 0x10 or 0x08)
  for index = 2, #character do
    point = point * 64 + character:byte(index) % 64
  end
  return point
end

local function width_of(sequence)
  local point = unicode.code_point(sequence)
  if point < 0x300 then
    return 1
  end
  return is_in(point, NARROWEST) and 0 or is_in(point, WIDE) and 2 or 1
end

--- How many columns a printable text takes.
function unicode.width(text)
  local width = 0
  for sequence in text:gmatch(SEQUENCE) do
    width = width + width_of(sequence)
  end
  return width
end

--- A printable text in at most `width` columns, with "…" where it was cut; and how many columns it takes.
function unicode.cut(text, width)
  local whole = unicode.width(text)
  if whole <= width then
    return text, whole
  end
  local parts, used = {}, 0
  for sequence in text:gmatch(SEQUENCE) do
    local more = width_of(sequence)
    if used + more > width - 1 then
      break
    end
    parts[#parts + 1] = sequence
    used = used + more
  end
  return table.concat(parts) .. "…", used + 1
end

--- The same, with its end kept and "…" before it: for what differs at the end, such as addresses with ports.
function unicode.cut_front(text, width)
  local whole = unicode.width(text)
  if whole <= width then
    return text, whole
  end
  local used, at = whole, 1
  for sequence in text:gmatch(SEQUENCE) do
    if used <= width - 1 then
      break
    end
    used = used - width_of(sequence)
    at = at + #sequence
  end
  return "…" .. text:sub(at), used + 1
end

return unicode
