from windlass.processing.sandbox.parent import main

main()
