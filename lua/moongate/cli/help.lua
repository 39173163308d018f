-- SPDX-License-Identifier: MIT
--
-- The help that shows the way: what there is, by what people want to do, and the first three steps.

local help = {}

local GROUPS = {
  { "Run it", { "run", "check", "test", "reload", "drain" } },
  { "See what it does", { "status", "routes", "conns", "kill", "addresses", "explain", "diagnose" } },
  { "Else", { "version", "help" } },
}

local OWN = { help = "Show this help, or with the name of a command all of it." }

local STEPS = [[
First steps:
  1. write a route, routes/hello.lua:
       return { match = { ports = 8080 }, action = { target = "127.0.0.1:80" } }
  2. moongate check      finds every fault of the files, and binds nothing
  3. moongate run        serves them; save a file in routes/ and it is live
]]

---@param commands table<string, table> by name
---@return string
function help.text(commands)
  local lines = { "moongate: a proxy runtime that you script in Lua.\n\nUsage: moongate COMMAND [OPTION…]\n" }
  for _, group in ipairs(GROUPS) do
    lines[#lines + 1] = ("\n%s:\n"):format(group[1])
    for _, name in ipairs(group[2]) do
      lines[#lines + 1] = ("  %-10s %s\n"):format(name, OWN[name] or commands[name].summary)
    end
  end
  lines[#lines + 1] = "\n" .. STEPS
  lines[#lines + 1] = [[

Options of all commands:
  -h, --help       what a command does and takes, as in: moongate conns --help
  --control PATH   the control socket of the running moongate (default:
                   /run/moongate.sock, else $XDG_RUNTIME_DIR/moongate.sock)
  --version        as the command version

Exit status: 0 done, 1 what was asked for failed, 2 the command line is wrong.
]]
  return table.concat(lines)
end

return help
