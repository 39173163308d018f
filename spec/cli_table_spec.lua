-- SPDX-License-Identifier: MIT

local tables = require("moongate.cli.table")
local unicode = require("moongate.unicode")

describe("moongate.cli.table", function()
  local columns = {
    { title = "NAME", least = 6, value = function(row) return row.name end },
    { title = "COUNT", right = true, value = function(row) return row.count end },
    { title = "WHERE", least = 5, value = function(row) return row.where end },
  }

  local function lines_of(text)
    local lines = {}
    for line in text:gmatch("[^\n]+") do
      lines[#lines + 1] = line
    end
    return lines
  end

  it("puts columns below each other, numbers to the right", function()
    local rows = { { name = "a", count = 5, where = "x" }, { name = "bcdef", count = 12345678 } }
    local text = tables.render(columns, rows)
    assert.are.equal("NAME      COUNT  WHERE\na             5  x\nbcdef  12345678  -\n", text)
  end)

  it("never is wider than asked for, and cuts the widest first", function()
    local rows = { { name = ("n"):rep(200), count = 7, where = ("w"):rep(50) }, { name = "b", count = 8, where = "c" } }
    local lines = lines_of(tables.render(columns, rows, 80))
    assert.are.equal(80, unicode.width(lines[2]))
    assert.truthy(lines[2]:find("^n+…  +7  w+$") or lines[2]:find("…", 1, true), lines[2])
    assert.are.equal(lines[2]:find("7", 1, true) and unicode.width(lines[2]:match("^(.-)7")),
      unicode.width(lines[3]:match("^(.-)8")))
  end)

  it("stays aligned with wide, combining and control characters, and bytes that are no UTF-8", function()
    local rows = {
      { name = "日本語", count = 1, where = "x" },
      { name = "e\204\129e\204\129", count = 2, where = "x" },
      { name = "a\27[31m", count = 3, where = "x" },
      { name = "\255\254", count = 4, where = "x" },
      { name = "line\nbreak", count = 5, where = "x" },
    }
    local lines = lines_of(tables.render(columns, rows, 80))
    assert.are.equal(6, #lines)
    for i = 2, #lines do
      assert.is_nil(lines[i]:find("\27", 1, true))
      assert.are.equal(unicode.width(lines[2]), unicode.width(lines[i]))
    end
    assert.are.equal(6, unicode.width("日本語"))
    assert.are.equal(2, unicode.width("e\204\129e\204\129"))
  end)

  it("keeps the end of a column whose values differ there", function()
    local targets = { { title = "TARGET", least = 8, tail = true, value = function(row) return row end } }
    local lines = lines_of(tables.render(targets, { ("h"):rep(50) .. ":8080", "127.0.0.1:80" }, 12))
    assert.are.same({ "…hhhhhh:8080", "127.0.0.1:80" }, { lines[2], lines[3] })
    assert.are.same({ "…語😀x", 6 }, { unicode.cut_front("aé日本語😀x", 6) })
    assert.are.same({ "abc", 3 }, { unicode.cut_front("abc", 3) })
  end)

  it("says what is left of a time in two units", function()
    assert.are.same({ "3h59m", "59s", "0s", "1d" },
      { tables.left(14399.9), tables.left(59.9), tables.left(0.4), tables.left(86400) })
  end)

  it("cuts between characters, never within one", function()
    for width = 1, 12 do
      local cut, used = unicode.cut("aé日本語😀xyz", width)
      assert.is_true(used <= width, cut)
      assert.are.equal(cut, unicode.clean(cut))
    end
  end)

  it("writes ages and sizes in four characters", function()
    local ages = { [0] = "0s", [59.9] = "59s", [60] = "1m", [3600] = "1h", [86399] = "23h", [8640000] = "100d" }
    for seconds, text in pairs(ages) do
      assert.are.equal(text, tables.age(seconds))
    end
    for bytes, text in pairs({ [0] = "0", [999] = "999", [1000] = "1.0K", [1536] = "1.5K", [30 * 1024 ^ 2] = "30M" }) do
      assert.are.equal(text, tables.size(bytes))
    end
  end)

  it("breaks paragraphs between words, and a word that is too long within", function()
    local text = tables.paragraph(("word "):rep(40) .. ("x"):rep(200), "  - ", "    ", 60)
    for _, line in ipairs(lines_of(text)) do
      assert.is_true(unicode.width(line) <= 60, line)
    end
    assert.are.equal("a  x\n", tables.paragraph("x", "a  ", "   ", 60))
  end)
end)
