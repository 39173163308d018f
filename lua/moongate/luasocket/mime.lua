-- SPDX-License-Identifier: MIT
--
-- require "mime": the encodings of RFC 2045 in the form of LTN 12's low-level filters, which take what was left over
-- and a chunk (nil at the end) and give what they have made of it and what is left over now; and filters made of them.

local ltn12 = require "ltn12"

local mime = { _VERSION = "MIME 1.0.3", encodet = {}, decodet = {}, wrapt = {} }

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local digit, value = {}, {}
for i = 0, 63 do
  digit[i] = ALPHABET:sub(i + 1, i + 1)
  value[digit[i]] = i
end

local function encode_three(three)
  local a, b, c = three:byte(1, 3)
  local n = a * 65536 + (b or 0) * 256 + (c or 0)
  local text = digit[math.floor(n / 262144)] .. digit[math.floor(n / 4096) % 64]
  return text .. (b and digit[math.floor(n / 64) % 64] or "=") .. (c and digit[n % 64] or "=")
end

local function text_or_nil(text)
  return text ~= "" and text or nil
end

function mime.b64(left, chunk)
  if not left then
    return nil, nil
  end
  local all = left .. (chunk or "")
  if not chunk then
    return text_or_nil((all:gsub("..?.?", encode_three))), nil
  end
  local whole = #all - #all % 3
  return (all:sub(1, whole):gsub("...", encode_three)), all:sub(whole + 1)
end

local function decode_four(four)
  local a, b, c, d = four:match "(.)(.)(.)(.)"
  if a == "=" or b == "=" then
    return "" -- nonsense
  end
  local n = value[a] * 262144 + value[b] * 4096 + (value[c] or 0) * 64 + (value[d] or 0)
  local bytes = string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256)
  return bytes:sub(1, (not value[c] and 1) or (not value[d] and 2) or 3)
end

function mime.unb64(left, chunk)
  if not left then
    return nil, nil
  end
  local all = (left .. (chunk or "")):gsub("[^%w+/=]", "")
  local whole = #all - #all % 4
  local text = all:sub(1, whole):gsub("....", decode_four)
  if not chunk then
    return text_or_nil(text), nil
  end
  return text, all:sub(whole + 1)
end

local function hex(c)
  return ("=%02X"):format(c:byte())
end

-- Blanks at the end of a line would be lost on the way.
local function quote(text, marker)
  text = text:gsub("[^\t\r\n -<>-~]", hex)
  text = text:gsub("([ \t])(\r\n)", function(blank, ending)
    return hex(blank) .. ending
  end)
  local placed = {}
  for line, ending in text:gmatch "([^\r\n]*)(\r?\n?)" do
    placed[#placed + 1] = line
    if ending == "\r\n" then
      placed[#placed + 1] = marker
    elseif ending ~= "" then
      placed[#placed + 1] = ending:gsub(".", hex)
    end
  end
  return table.concat(placed)
end

function mime.qp(left, chunk, marker)
  if not left then
    return nil, nil
  end
  local all = left .. (chunk or "")
  marker = marker or "\r\n"
  if not chunk then
    return all ~= "" and all:gsub("[^!-<>-~]", hex) .. "=\r\n" or nil, nil
  end
  local ready, rest = all:match "^(.-)([ \t]?\r?)$"
  return quote(ready, marker), rest
end

function mime.unqp(left, chunk)
  if not left then
    return nil, nil
  end
  local all, rest = left .. (chunk or ""), ""
  if chunk then
    all, rest = all:match "^(.-)([ \t]*=?%x?\r?)$"
    if not rest:find "[= \t\r]" then
      all, rest = all .. rest, ""
    end
  end
  local text = all:gsub("[ \t]+(\r?\n)", "%1"):gsub("=\r?\n", ""):gsub("=(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  if not chunk then
    return text_or_nil(text), nil
  end
  return text, rest
end

-- Lines of at most `length`; `left` is the room in the present one.
function mime.wrp(left, chunk, length)
  length = length or 76
  if not chunk then
    return left < length and "\r\n" or nil, length
  end
  local output = {}
  for c in chunk:gmatch "." do
    if c == "\n" then
      output[#output + 1], left = "\r\n", length
    elseif c ~= "\r" then
      if left <= 0 then
        output[#output + 1], left = "\r\n", length
      end
      output[#output + 1], left = c, left - 1
    end
  end
  return table.concat(output), left
end

-- The same for quoted-printable: soft breaks, never within an escape.
function mime.qpwrp(left, chunk, length)
  length = length or 76
  if not chunk then
    return left < length and "=\r\n" or nil, length
  end
  local output = {}
  local function soft()
    output[#output + 1], left = "=\r\n", length
  end
  for c in chunk:gmatch "." do
    if c == "\n" then
      output[#output + 1], left = "\r\n", length
    elseif c ~= "\r" then
      if left <= (c == "=" and 3 or 1) then
        soft()
      end
      output[#output + 1], left = c, left - 1
    end
  end
  return table.concat(output), left
end

-- Any kind of line end becomes `marker`. `last` is the CR or LF that may be the first half of one, as a byte; 0: none.
function mime.eol(last, chunk, marker)
  marker = marker or "\r\n"
  if not chunk then
    return nil, 0
  end
  local text = chunk:gsub("[\r\n]", "%0") -- a copy, to be walked through
  local output, from = {}, 1
  for at, c in text:gmatch "()([\r\n])" do
    if at > from then
      output[#output + 1] = text:sub(from, at - 1)
      last = 0
    end
    local byte = c:byte()
    if last ~= 0 and last ~= byte then
      last = 0 -- the second half
    else
      output[#output + 1], last = marker, byte
    end
    from = at + 1
  end
  if from <= #text then
    output[#output + 1], last = text:sub(from), 0
  end
  return table.concat(output), last
end

-- A dot that begins a line is doubled (RFC 5321 section 4.5.2). `state`: 2 behind CR LF (as at the start), 1 behind CR.
function mime.dot(state, chunk)
  if not chunk then
    return nil, 2
  end
  local output = {}
  for c in chunk:gmatch "." do
    if c == "." and state == 2 then
      output[#output + 1] = "."
    end
    state = c == "\r" and 1 or (c == "\n" and state == 1) and 2 or 0
    output[#output + 1] = c
  end
  return table.concat(output), state
end

function mime.encodet.base64()
  return ltn12.filter.cycle(mime.b64, "")
end

mime.encodet["quoted-printable"] = function(mode)
  return ltn12.filter.cycle(mime.qp, "", mode == "binary" and "=0D=0A" or "\r\n")
end

function mime.decodet.base64()
  return ltn12.filter.cycle(mime.unb64, "")
end

mime.decodet["quoted-printable"] = function()
  return ltn12.filter.cycle(mime.unqp, "")
end

function mime.wrapt.text(length)
  return ltn12.filter.cycle(mime.wrp, length or 76, length or 76)
end
mime.wrapt.base64, mime.wrapt.default = mime.wrapt.text, mime.wrapt.text

mime.wrapt["quoted-printable"] = function()
  return ltn12.filter.cycle(mime.qpwrp, 76, 76)
end

local function choose(kinds)
  return function(name, ...)
    if type(name) == "string" then
      local make = kinds[name]
      return make and make(...) or error("unknown key (" .. name .. ")", 2)
    end
    return kinds.default and kinds.default(name, ...) or error("unknown key (nil)", 2)
  end
end

mime.encode, mime.decode, mime.wrap = choose(mime.encodet), choose(mime.decodet), choose(mime.wrapt)

function mime.normalize(marker)
  return ltn12.filter.cycle(mime.eol, 0, marker)
end

function mime.stuff()
  return ltn12.filter.cycle(mime.dot, 2)
end

return mime
