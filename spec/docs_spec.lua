-- SPDX-License-Identifier: MIT
--
-- The pages: what they link to is there, and so is what they tell of commands and of files.

local lfs = require "lfs"

local binary = os.getenv "MOONGATE_BINARY" or "build/moongate"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function output_of(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local pages = { "README.md", "CONTRIBUTING.md", "examples/README.md", "bench/README.md" }
for name in lfs.dir "docs" do
  if name:find "%.md$" then
    pages[#pages + 1] = "docs/" .. name
  end
end
table.sort(pages)

-- A page without its blocks of code.
local function prose(text)
  return (("\n" .. text):gsub("\n```.-\n```", "\n"))
end

-- The anchors of a page's headings, as GitHub makes them.
local function anchors(path)
  local found = {}
  for heading in prose(read(path)):gmatch "\n#+ ([^\n]*)" do
    local anchor = heading:gsub("%[(.-)%]%b()", "%1"):lower():gsub("[^%w_ -]", ""):gsub(" ", "-")
    found[anchor] = true
  end
  return found
end

-- What a page's link leads to: a path from the root of the repository.
local function resolve(page, target)
  local path = (page:match "^(.*/)" or "") .. target
  repeat
    local before = path
    path = path:gsub("[^/]+/%.%./", "")
  until path == before
  return path
end

describe("the links of", function()
  for _, page in ipairs(pages) do
    it(page .. " lead somewhere", function()
      for target in prose(read(page)):gmatch "%]%(([^)%s]+)%)" do
        if not target:find "^%a+:" then
          local file, anchor = target:match "^([^#]*)#?(.*)$"
          local path = file == "" and page or resolve(page, file)
          assert.truthy(lfs.attributes(path), ("%s: %s is not there"):format(page, target))
          if anchor ~= "" then
            assert.truthy(anchors(path)[anchor], ("%s: %s has no heading #%s"):format(page, path, anchor))
          end
        end
      end
    end)
  end
end)

describe("the lists of commands", function()
  for _, page in ipairs { "README.md", "docs/commands.md" } do
    it("of " .. page .. " have all that there are", function()
      local text = read(page)
      for name in output_of(binary .. " help"):gmatch "\n  (%l+)  +%u" do
        assert.truthy(text:find("\nmoongate " .. name .. "[ \n]"), name)
      end
    end)
  end
end)

describe("the pages", function()
  local OURS = { docs = true, runtime = true, lua = true, scripts = true, examples = true, bench = true }

  it("are all in the README's table", function()
    local readme = read "README.md"
    for _, page in ipairs(pages) do
      if page ~= "README.md" then
        assert.truthy(readme:find("(" .. page .. ")", 1, true), "README.md has no link to " .. page)
      end
    end
  end)

  it("name files that are there", function()
    for _, page in ipairs(pages) do
      for path in read(page):gmatch "`([%w_.-]+/[%w_./-]+%.%a+)`" do
        if OURS[path:match "^[^/]+"] then
          assert.truthy(path:find("_x%.") or path:find "/x[_.]" or lfs.attributes(path), page .. ": " .. path)
        end
      end
    end
  end)

  it("name rooms of the code that are there, and all of them", function()
    local text = read "CONTRIBUTING.md"
    for name in lfs.dir "runtime" do
      if name:sub(1, 1) ~= "." and lfs.attributes("runtime/" .. name).mode == "directory" then
        assert.truthy(text:find("\n| `" .. name .. "/` |", 1, true), "CONTRIBUTING.md has no room " .. name)
      end
    end
    for name in text:gmatch "\n| `([%w_]+)/` |" do
      assert.truthy(lfs.attributes("runtime/" .. name), "there is no runtime/" .. name)
    end
  end)

  it("have as many fences as end", function()
    for _, page in ipairs(pages) do
      local _, count = ("\n" .. read(page)):gsub("\n```", "")
      assert.are.equal(0, count % 2, page)
    end
  end)
end)

describe("the Lua of", function()
  -- A whole file, or what stands in a table.
  local function parses(text)
    return loadstring(text) or loadstring("return {" .. text .. "}")
  end

  for _, page in ipairs(pages) do
    it(page .. " can be read", function()
      for block in read(page):gmatch "\n```lua\n(.-)\n```" do
        assert.truthy(parses((block:gsub("…", "nil"))), page .. ":\n" .. block)
      end
    end)
  end

  it("route files is well for moongate check", function()
    local config = os.tmpname()
    local directory = config .. ".d"
    write(config, "return {}")
    assert(lfs.mkdir(directory))
    finally(function()
      os.execute(("rm -r '%s' '%s'"):format(config, directory))
    end)
    local count = 0
    for _, page in ipairs(pages) do
      for block, name in read(page):gmatch "\n```lua\n(%-%- routes/([%w_.-]+%.lua)[^\n]*\n.-)\n```" do
        count = count + 1
        local path = directory .. "/" .. name
        write(path, block)
        local said = output_of(("'%s' check --config '%s' --routes '%s'"):format(binary, config, directory))
        os.remove(path)
        assert.truthy(said:find("1 file, %d+ routes?: no fault"), page .. ": " .. said)
      end
    end
    assert.is_true(count > 5)
  end)
end)

describe("what is said of commands", function()
  local helps = {}

  local function help_of(command)
    helps[command] = helps[command] or output_of(("'%s' %s --help"):format(binary, command))
    return helps[command]
  end

  local function known_commands()
    local known = { help = true }
    for name in output_of(("'%s' help"):format(binary)):gmatch "\n  (%l+)  +%u" do
      known[name] = true
    end
    return known
  end

  -- Each `moongate COMMAND …` of a page, in prose or as a line of a block: page, command, the rest of it.
  local function each_use(visit)
    for _, page in ipairs(pages) do
      local text = "\n" .. read(page)
      for code in prose(text):gmatch "`([^`\n]+)`" do
        local command, rest = code:match "^moongate (%l+)(.*)"
        if command then
          visit(page, command, rest)
        end
      end
      for block in text:gmatch "\n```[^\n]*(\n.-)\n```" do
        for command, rest in block:gsub("\n%$ ", "\n"):gmatch "\nmoongate (%l+)([^\n#]*)" do
          visit(page, command, rest)
        end
      end
    end
  end

  it("are commands that there are", function()
    local known = known_commands()
    local uses = 0
    each_use(function(page, command)
      uses = uses + 1
      assert.truthy(known[command], ("%s: there is no `moongate %s`"):format(page, command))
    end)
    assert.is_true(uses > 20)
  end)

  it("are options that they have", function()
    each_use(function(page, command, rest)
      for option in rest:gmatch "%-%-%l[%l-]*" do
        if option ~= "--control" and command ~= "help" then
          local there = help_of(command):find(option, 1, true)
          assert.truthy(there, ("%s: moongate %s has no %s"):format(page, command, option))
        end
      end
    end)
  end)

  it("leaves out no command, and no option", function()
    local page = read "docs/commands.md"
    for command in pairs(known_commands()) do
      assert.truthy(page:find("\nmoongate " .. command, 1, true), "docs/commands.md has no command " .. command)
      if command ~= "test" and command ~= "help" then
        for option in help_of(command):gmatch "\n%s+(%-%-%l[%l-]*)" do
          assert.truthy(page:find(option, 1, true), ("docs/commands.md: %s %s"):format(command, option))
        end
      end
    end
  end)

  it("has the commands of ./dev", function()
    local help = output_of "./dev -h"
    for _, page in ipairs(pages) do
      for command in read(page):gmatch "%./dev (%l+)" do
        assert.truthy(help:find("\n  " .. command .. "%f[%A]"), page .. ": ./dev " .. command)
      end
    end
  end)
end)
