-- SPDX-License-Identifier: MIT
--
-- Tables and paragraphs for people, as wide as the terminal and never wider: what is too long is cut with "…", and
-- columns stay below each other whatever the values are.

local text = require("moongate.text")
local unicode = require("moongate.unicode")

local tables = {}

local NARROWEST, USUAL, WIDEST = 40, 80, 400

---How many columns there are: COLUMNS, else the terminal's, else 80 (as for a pipe).
---@return integer
function tables.width()
  local columns = tonumber(os.getenv("COLUMNS") or "")
  if not columns then
    local native = package.loaded["moongate.native"]
    columns = native and native.defaults and native.defaults().columns
  end
  return math.max(NARROWEST, math.min(WIDEST, columns or USUAL))
end

---@class moongate.Column
---@field title string
---@field value fun(row: table): string|number|nil
---@field right? boolean aligned to the right
---@field least? integer a column that may be cut, down to so many columns
---@field tail? boolean its end is what tells values apart, and is kept when it is cut

-- The cells as printable texts, and how wide each column would be.
local function measure(columns, rows)
  local cells, widths = {}, {}
  for i, column in ipairs(columns) do
    widths[i] = unicode.width(column.title)
  end
  for r, row in ipairs(rows) do
    cells[r] = {}
    for i, column in ipairs(columns) do
      local value = column.value(row)
      local cell = unicode.printable(value == nil and "-" or text.plain(value))
      cells[r][i] = cell
      widths[i] = math.max(widths[i], unicode.width(cell))
    end
  end
  return cells, widths
end

-- Takes from the widest column that may be cut, until all fit. Returns the width of the gaps.
local function shrink(columns, widths, width)
  local function over(gap)
    local sum = gap * (#columns - 1) - width
    for _, one in ipairs(widths) do
      sum = sum + one
    end
    return sum
  end
  local gap = over(2) <= 0 and 2 or 1
  for _ = 1, math.max(0, over(gap)) do
    local widest
    for i, column in ipairs(columns) do
      if column.least and widths[i] > column.least and (not widest or widths[i] > widths[widest]) then
        widest = i
      end
    end
    if not widest then
      break
    end
    widths[widest] = widths[widest] - 1
  end
  return gap
end

local function line(columns, widths, cells, gap)
  local parts = {}
  for i, column in ipairs(columns) do
    local cell, width = (column.tail and unicode.cut_front or unicode.cut)(cells[i], widths[i])
    local space = (" "):rep(widths[i] - width)
    parts[i] = column.right and space .. cell or cell .. space
  end
  return (table.concat(parts, (" "):rep(gap)):gsub(" +$", ""))
end

---@param columns moongate.Column[]
---@param rows table[]
---@param width? integer
---@return string lines
function tables.render(columns, rows, width)
  local cells, widths = measure(columns, rows)
  local gap = shrink(columns, widths, width or tables.width())
  local titles, lines = {}, {}
  for i, column in ipairs(columns) do
    titles[i] = column.title
  end
  lines[1] = line(columns, widths, titles, gap)
  for r in ipairs(rows) do
    lines[#lines + 1] = line(columns, widths, cells[r], gap)
  end
  return table.concat(lines, "\n") .. "\n"
end

---Label and value of each line; a value that is nil is left out, a long one goes on in the next line.
---@param pairs_ table[] { label, value }
---@param width? integer
---@return string lines
function tables.labelled(pairs_, width)
  local most, lines = 0, {}
  for _, pair in ipairs(pairs_) do
    most = pair[2] ~= nil and math.max(most, unicode.width(pair[1])) or most
  end
  for _, pair in ipairs(pairs_) do
    if pair[2] ~= nil then
      local label = pair[1] .. (" "):rep(most - unicode.width(pair[1])) .. "  "
      lines[#lines + 1] = tables.paragraph(text.plain(pair[2]), label, (" "):rep(most + 2), width)
    end
  end
  return table.concat(lines)
end

-- A word that is wider than a line, as pieces that are not.
local function pieces_of(word, room)
  local pieces = {}
  while unicode.width(word) > room do
    local piece = unicode.cut(word, room + 1):gsub("…$", "")
    if piece == "" then
      break
    end
    pieces[#pieces + 1] = piece
    word = word:sub(#piece + 1)
  end
  pieces[#pieces + 1] = word
  return pieces
end

---Words in lines: `first` stands before the first, `indent` before the others.
---@param words string
---@param first? string
---@param indent? string
---@param width? integer
---@return string lines
function tables.paragraph(words, first, indent, width)
  width, first, indent = width or tables.width(), first or "", indent or ""
  local lines, current = {}, first
  local used, fresh = unicode.width(first), true
  local room = math.max(8, width - math.max(unicode.width(indent), unicode.width(first)))
  for word in unicode.printable(words):gmatch("%S+") do
    for _, piece in ipairs(pieces_of(word, room)) do
      local wide = unicode.width(piece)
      if not fresh and used + 1 + wide > width then
        lines[#lines + 1] = current
        current, used, fresh = indent, unicode.width(indent), true
      end
      current = current .. (fresh and "" or " ") .. piece
      used, fresh = used + (fresh and 0 or 1) + wide, false
    end
  end
  lines[#lines + 1] = current
  return table.concat(lines, "\n") .. "\n"
end

---"5s", "12m", "3h", "41d": one unit, at most four characters.
---@param seconds number
---@return string
function tables.age(seconds)
  for _, unit in ipairs({ { 86400, "d" }, { 3600, "h" }, { 60, "m" } }) do
    if seconds >= unit[1] then
      return ("%d%s"):format(math.floor(seconds / unit[1]), unit[2])
    end
  end
  return ("%ds"):format(math.floor(seconds))
end

---"59s", "3h59m", "41d3h": what is left of a time, in two units.
---@param seconds number
---@return string
function tables.left(seconds)
  return (text.format_duration(math.floor(seconds)):gsub(" ", ""))
end

---"0", "512", "1.5K", "30M": at most four characters up to a petabyte.
---@param bytes number
---@return string
function tables.size(bytes)
  local units, index = { "", "K", "M", "G", "T", "P" }, 1
  while bytes >= 1000 and index < #units do
    bytes, index = bytes / 1024, index + 1
  end
  return (index > 1 and bytes < 9.95 and "%.1f%s" or "%.0f%s"):format(bytes, units[index])
end

---"showing 100 of 20000 connections", or nil when all are there.
function tables.rest(shown, offset, total, noun, many)
  if shown == total then
    return nil
  end
  local from = shown > 0 and (" (%d to %d)"):format(offset + 1, offset + shown) or ""
  return ("%d of %s%s; --limit and --offset show others\n"):format(shown, text.plural(total, noun, many), from)
end

return tables
