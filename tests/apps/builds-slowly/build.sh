# As long as an app's build takes, by what is in a file.
echo "Building for $(cat build-seconds) s"
sleep "$(cat build-seconds)"
