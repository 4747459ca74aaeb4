# Writes the page as a C file: the table that view_files.h declares.
#   cmake -DOUT=view_files.c -DFILES="index.html;app.js" -DFOLDER=... -P embed.cmake
set(arrays "")
set(rows "")
set(n 0)
foreach(name IN LISTS FILES)
  file(READ ${FOLDER}/${name} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  # 0 at the end, not counted: an empty file is an array too
  string(APPEND arrays "static const uint8_t file_${n}[] = { ${bytes}0 };\n")
  string(APPEND rows "\t{ \"${name}\", file_${n}, sizeof(file_${n}) - 1 },\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "/* Made by embed.cmake. */\n#include \"view_files.h\"\n\n${arrays}\n"
  "const struct view_file view_files[] = {\n${rows}\t{ 0 },\n};\n")
