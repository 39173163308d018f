-- SPDX-License-Identifier: MIT
--
-- A page of docs/ as a list of steps: files to write, commands to run, lines to type, and what should be printed.

local page = {}

local function console(steps, name, body)
  local step = nil
  for line in body:gmatch "([^\n]*)\n" do
    local command, typed = line:match "^%$ (.*)", line:match "^> (.*)"
    if command or typed or line == "^C" then
      step = { terminal = name, command = command, typed = typed, interrupt = line == "^C", output = {} }
      steps[#steps + 1] = step
    else
      if not step then
        step = { terminal = name, output = {} }
        steps[#steps + 1] = step
      end
      step.output[#step.output + 1] = line
    end
  end
end

-- The steps of a page: { path =, text = } of a block of Lua that begins with the name of a file, { terminal = (nil:
-- any), command | typed | interrupt, output = lines } of what stands in a block called "console [TERMINAL]".
function page.steps(text)
  local steps = {}
  for info, body in ("\n" .. text):gmatch "\n```(%l[^\n]*)\n(.-)```" do
    local path = info == "lua" and body:match "^%-%- ([%w_/.-]+%.lua)\n"
    if path then
      steps[#steps + 1] = { path = path, text = body }
    elseif info:find "^console" then
      console(steps, info:match "^console (%l+)", body)
    end
  end
  return steps
end

-- Whether a line is as the page has it; "…" stands for anything.
local function is_like(line, wanted)
  local pattern = wanted:gsub("…", "\1"):gsub("%p", "%%%0"):gsub("\1", ".*")
  return line:find("^" .. pattern .. "%s*$") ~= nil
end

-- Whether the lines from the i-th on are those wanted from the j-th on; a "…" alone stands for any number of lines.
local function match_from(lines, i, wanted, j)
  if j > #wanted then
    return i > #lines
  elseif wanted[j] == "…" then
    for from = i, #lines + 1 do
      if match_from(lines, from, wanted, j + 1) then
        return true
      end
    end
    return false
  end
  return i <= #lines and is_like(lines[i], wanted[j]) and match_from(lines, i + 1, wanted, j + 1)
end

function page.matches(text, wanted)
  local lines = {}
  for line in (text:gsub("([^\n])$", "%1\n")):gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
  end
  return match_from(lines, 1, wanted, 1)
end

return page
