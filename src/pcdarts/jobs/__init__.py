"""The commands for image classification. The long ones are each one visible loop."""
