-- SPDX-License-Identifier: MIT
--
-- What the program itself requires comes from the binary and from where packages put it: nothing that lies in the
-- directory of the call, or that LUA_PATH names, runs outside the sandbox.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

-- Whatever the library or a part of it may look for.
local NAMES = { "argparse", "cjson", "jit/opt", "bit32", "socket", "busted", "init" }

local COMMANDS = {
  { "version" }, { "help" }, { "check" }, { "status" }, { "routes" }, { "conns" }, { "explain", "80" }, { "diagnose" },
  { "reload" }, { "drain" }, { "nonsense" }, { "run", "--config", "nowhere.lua" },
}

describe("modules that are not the program's", function()
  local directory, mark

  before_each(function()
    directory = process.directory()
    mark = directory .. "/mark"
    assert(require("lfs").mkdir(directory .. "/jit"))
    for _, name in ipairs(NAMES) do
      process.write(("%s/%s.lua"):format(directory, name), ("io.open(%q, 'w'):close()"):format(mark))
      process.write(("%s/%s.so"):format(directory, name), "not a library")
    end
  end)

  after_each(moongate.finish)

  local function run(words, env)
    local argv = { moongate.binary, "--control", directory .. "/nobody.sock", unpack(words) }
    if words[1] == "run" then
      argv = { moongate.binary, unpack(words) }
    end
    local answer = process.run(argv, { cwd = directory, env = env })
    assert.are_not.equal("timeout", answer.status)
    assert.is_nil(io.open(mark), table.concat(words, " ") .. " ran what is not its own")
    assert.is_nil(answer.err:find("not a library", 1, true), answer.err)
  end

  it("are not run by a command that is called beside them", function()
    for _, words in ipairs(COMMANDS) do
      run(words)
    end
  end)

  it("are not run because the environment names them", function()
    for _, words in ipairs(COMMANDS) do
      run(words, {
        LUA_PATH = directory .. "/?.lua",
        LUA_CPATH = directory .. "/?.so",
        LUA_INIT = "@" .. directory .. "/init.lua",
      })
    end
  end)

  it("are found by specs, which are the project's", function()
    process.write(directory .. "/beside.lua", "return 7")
    process.write(directory .. "/a_spec.lua", 'it("is beside", function() assert.equal(7, require "beside") end)')
    for _, name in ipairs(NAMES) do
      os.remove(("%s/%s.lua"):format(directory, name))
      os.remove(("%s/%s.so"):format(directory, name))
    end
    local answer = process.run({ moongate.binary, "test", "-o=plainTerminal", "a_spec.lua" }, { cwd = directory })
    assert.are.equal(0, answer.status, answer.out .. answer.err)
  end)

  it("take the library's place only where MOONGATE_LUA says so, and then loudly", function()
    local answer = process.run({ moongate.binary, "version" }, { env = { MOONGATE_LUA = "lua" } })
    assert.are.equal(0, answer.status, answer.err)
    assert.matches("MOONGATE_LUA is set", answer.err, 1, true)
  end)
end)
