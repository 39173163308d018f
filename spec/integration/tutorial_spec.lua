-- SPDX-License-Identifier: MIT
--
-- docs/tutorial.md, line by line: its files are written and its commands run in an empty directory, as a reader would,
-- and print what the page shows. Its ports are fixed, so it runs in a network namespace of its own.

local fcntl = require "posix.fcntl"
local page = require "spec.support.page"
local moongate = require "spec.support.moongate"
local process = require "spec.support.process"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local as_root = process.run({ "id", "-u" }).out == "0\n"

-- A command line in new network and mount namespaces, where it is root, with a /run and a /var/lib of its own.
local function unshared(script)
  local private = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && ip link set lo up && "
  return { "unshare", as_root and "-nm" or "-rnm", "sh", "-c", private .. script }
end

local possible = process.run(unshared "true").status == 0
process.finish()

-- The place where the page is read: a directory, the namespaces, and the terminals by name.
local Reader = {}
Reader.__index = Reader

function Reader.new()
  local self = setmetatable({ directory = process.directory(), terminals = {} }, Reader)
  self.home = process.directory()
  self.holder = process.start(unshared "echo ready && exec sleep 600")
  process.wait_for(function()
    return self.holder:out() == "ready\n"
  end, 20, "the namespaces")
  return self
end

function Reader:words(command)
  local line = { "nsenter", "-t", self.holder.pid, "-n", "-m", "--wd=" .. self.directory }
  if not as_root then
    line[#line + 1], line[#line + 2] = "-U", "--preserve-credentials"
  end
  local path = moongate.binary:match "^(.*)/" .. ":" .. os.getenv "PATH"
  for _, word in ipairs {
    "env",
    "-u",
    "LUA_PATH",
    "PATH=" .. path,
    "XDG_RUNTIME_DIR=" .. self.home,
    "XDG_STATE_HOME=" .. self.home,
    "HOME=" .. self.home,
    "COLUMNS=80",
    "sh",
    "-c",
    command .. " 2>&1",
  } do
    line[#line + 1] = word
  end
  return line
end

function Reader:write(step)
  process.write(self.directory .. "/" .. step.path, step.text)
end

local function fail(step, what, got)
  local wanted = table.concat(step.output, "\n")
  error(("%s\nshould print:\n%s\nbut printed:\n%s"):format(what, wanted, got), 0)
end

-- A command that comes to its end. What prints nothing on the page has to be well. What asks is asked again for a
-- while: a reader is slower than a connection's end.
function Reader:run(step)
  local result
  local function is_fine()
    result = process.run(self:words(step.command), { seconds = 60 })
    return page.matches(result.out, step.output) and (#step.output > 0 or result.status == 0)
  end
  local asks = step.command:find "^curl " or step.command:find "^moongate conns"
  if not pcall(process.wait_for, is_fine, asks and 15 or 0) then
    fail(step, "$ " .. step.command, result.out)
  end
end

-- A program that stays in its terminal.
function Reader:open(step)
  local input = process.directory() .. "/input"
  assert(stat.mkfifo(input, 384))
  local keyboard = assert(fcntl.open(input, fcntl.O_RDWR))
  local terminal = { keyboard = keyboard, read = 0 }
  terminal.process = process.start(self:words("exec " .. step.command), { input = input })
  self.terminals[step.terminal] = terminal
  return terminal
end

-- What its terminal prints from where it was read last until it is as the page has it.
local function await_output(terminal, step)
  if #step.output == 0 then
    return
  end
  local got
  local fine = pcall(process.wait_for, function()
    local text = terminal.process:out()
    for at in ("\n" .. text):gmatch "()\n" do
      got = text:sub(terminal.read + 1)
      local part = text:sub(terminal.read + 1, at - 1)
      if at - 1 > terminal.read and page.matches(part, step.output) then
        terminal.read = at - 1
        return true
      end
    end
  end, 20)
  if not fine then
    fail(step, "the terminal " .. step.terminal, got or "")
  end
end

-- Lines that the page leaves out may come first in a terminal that moongate writes its log to.
local function skipping(step)
  return { terminal = step.terminal, output = { "…", unpack(step.output) } }
end

function Reader:converse(step)
  local terminal = self.terminals[step.terminal]
  if step.command then
    terminal = self:open(step)
  elseif step.typed then
    unistd.write(terminal.keyboard, step.typed .. "\n")
  elseif step.interrupt then
    terminal.process:signal "SIGINT"
  end
  await_output(terminal, step.typed and step or #step.output > 0 and skipping(step) or step)
  if step.interrupt then
    assert(terminal.process:wait(40), "the terminal " .. step.terminal .. " did not end")
    unistd.close(terminal.keyboard)
  end
end

describe("docs/tutorial.md", function()
  after_each(process.finish)

  local it = possible and it
    or function(name)
      pending(name .. " (no network namespaces here: needs root, or user namespaces)")
    end

  it("does what it says, line by line", function()
    local steps = page.steps(process.read "docs/tutorial.md")
    assert.is_true(#steps > 20, "the page has hardly any steps")
    local reader = Reader.new()
    for _, step in ipairs(steps) do
      if step.path then
        reader:write(step)
      elseif step.terminal then
        reader:converse(step)
      else
        reader:run(step)
      end
    end
    assert.are.equal(0, reader.terminals.first.process.status)
  end)
end)

describe("a page's output", function()
  it("is compared line by line, and … stands for anything", function()
    assert.is_true(page.matches("a\nb 1 c\n", { "a", "b … c" }))
    assert.is_true(page.matches("x\ny\na\n", { "…", "a" }))
    assert.is_true(page.matches("a\n", { "…", "a", "…" }))
    assert.is_false(page.matches("a\nb\n", { "a" }))
    assert.is_false(page.matches("a\n", { "a", "b" }))
    assert.is_false(page.matches("a.c\n", { "abc" }))
    assert.is_false(page.matches("abc\n", { "a.c" }))
  end)
end)
