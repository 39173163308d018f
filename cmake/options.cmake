# SPDX-License-Identifier: MIT
#
# OPTIONS_SOURCE: what the schema says of options, as the tables of runtime/routing/option.h.

set(OPTIONS_SOURCE ${PROJECT_BINARY_DIR}/generated/options.c)
add_custom_command(
  OUTPUT ${OPTIONS_SOURCE}
  COMMAND ${LUAJIT_PROGRAM} ${PROJECT_SOURCE_DIR}/cmake/options.lua ${PROJECT_SOURCE_DIR}/lua ${OPTIONS_SOURCE}
  DEPENDS ${PROJECT_SOURCE_DIR}/lua/moongate/schema.lua ${PROJECT_SOURCE_DIR}/lua/moongate/schema/config_fields.lua
          ${PROJECT_SOURCE_DIR}/lua/moongate/schema/declare.lua ${PROJECT_SOURCE_DIR}/lua/moongate/schema/route_fields.lua
          ${PROJECT_SOURCE_DIR}/cmake/options.lua
  COMMENT "Writing the options of the schema down in C"
  VERBATIM)
