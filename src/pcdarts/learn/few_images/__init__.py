"""What a training does about classes of unequal size and few images, beside augmentation."""
