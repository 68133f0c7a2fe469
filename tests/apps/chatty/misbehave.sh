# 100 MB of output, in lines as a build tool would write them.
yes 'This build has a great deal to say, and says all of it, line after line, for as long as anybody cares to listen' | head -c 104857600
