-- SPDX-License-Identifier: MIT
--
-- completions/moongate.bash, in a bash that has sourced it.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

describe("the completion for bash", function()
  after_each(moongate.finish)

  local ran -- the beginning of what the names make, if they are run

  -- What is offered for the last of the words, sorted.
  local function complete(...)
    local script = [[
      source completions/moongate.bash
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _moongate
      printf '%s\n' "${COMPREPLY[@]}"
    ]]
    local answer = process.run({ "bash", "-c", script, "bash", moongate.binary, ... }, { env = { RAN = ran } })
    assert.are.equal("", answer.err)
    local words = {}
    for word in answer.out:gmatch "[^\n]+" do
      words[#words + 1] = word
    end
    return words
  end

  it("offers the commands", function()
    assert.are.same({ "check", "conns" }, complete "c")
    assert.are.same({ "reload", "routes", "run" }, complete "r")
    assert.are.same({ "explain" }, complete("help", "ex"))
  end)

  it("offers a command's options, and what may follow them", function()
    assert.are.same({ "--sort", "--state", "--stuck" }, complete("conns", "--s"))
    assert.are.same({ "--strict" }, complete("run", "--s"))
    assert.are.same({ "age", "bytes", "client", "idle" }, complete("conns", "--sort", ""))
  end)

  it("offers files where a command takes them", function()
    assert.are.same({ "spec/admin_spec.lua" }, complete("test", "spec/admin_s"))
    assert.are.same({ "routes/page.lua" }, complete("check", "routes/pa"))
    assert.are.same({ "--config" }, complete("check", "--conf"))
    assert.are.same({ "--control" }, complete("conns", "--con"))
    assert.are.same({ "rate", "refused" }, complete("addresses", "--sort", "r"))
  end)

  it("offers routes and files of the one that runs", function()
    local m = moongate.start {
      routes = {
        ["web.lua"] = [[return {
          { name = "web-a", match = { ports = 0 }, action = { target = "127.0.0.1:1" } },
          { name = "web-b", match = { ports = 0 }, action = { target = "127.0.0.1:1" } },
        }]],
        ["db.lua"] = [[return { name = "db", match = { ports = 0 }, action = { target = "127.0.0.1:1" } }]],
      },
    }
    assert.are.same({ "web-a", "web-b" }, complete("--control", m.control, "routes", "web"))
    assert.are.same({ "db" }, complete("--control", m.control, "conns", "--route", "d"))
    assert.are.same({ "web.lua" }, complete("--control", m.control, "routes", "--file", "w"))
    assert.are.same({}, complete("--control", m.control, "routes", "--port", "x"))
  end)

  it("runs nothing of the names that it offers, and gives them as the shell takes them", function()
    local directory = moongate.workspace({ routes = {} }).directory
    ran = directory .. "/ran"
    local name = ("a$(touch %s-route)`touch %s-route` b;*"):format(ran, ran)
    local m = moongate.start {
      routes = {
        ["$(touch${IFS}${RAN}-file).lua"] = ([[return {
          { name = %q, match = { ports = 0 }, action = { target = "127.0.0.1:1" } },
        }]]):format(name),
      },
    }
    local control = { "--control", m.control }
    for _, words in ipairs { { "routes" }, { "routes", "--route" }, { "conns", "--route" }, { "routes", "--file" } } do
      local line = { control[1], control[2], unpack(words) }
      line[#line + 1] = ""
      local offered = complete(unpack(line))
      assert.are.equal(1, #offered)
      -- What is offered stands on the command line, and is one word there.
      local said = process.run({ "bash", "-c", "printf '%s|' " .. offered[1] }, { env = { RAN = ran } })
      assert.are.equal((words[2] == "--file" and "$(touch${IFS}${RAN}-file).lua" or name) .. "|", said.out)
    end
    for _, what in ipairs { "-route", "-file" } do
      assert.is_nil(lfs.attributes(ran .. what), what)
    end
  end)

  it("offers nothing where nothing runs, and says nothing", function()
    assert.are.same({}, complete("--control", "/nowhere/moongate.sock", "routes", ""))
  end)
end)
