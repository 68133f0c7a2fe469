# More memory than any build may have.
exec python3 -c '
kept = []
while True:
    kept.append(bytearray(64 * 1024 * 1024))
'
